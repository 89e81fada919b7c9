"""The same sentences twice: as CLEAR trees (what spaCy's English models answer) and as UD v2 trees, written by hand
from the guidelines.

One line a word: form, lemma, part of speech, Penn tag, CLEAR head and label, UD head and label. Heads count from 1,
0 is the root.
"""

SENTENCES = {
    "preposition after a noun": """
        A       a       DET   DT   2  det     2  det
        man     man     NOUN  NN   0  ROOT    0  root
        with    with    ADP   IN   2  prep    6  case
        a       a       DET   DT   6  det     6  det
        red     red     ADJ   JJ   6  amod    6  amod
        helmet  helmet  NOUN  NN   3  pobj    2  nmod
        on      on      ADP   IN   2  prep    9  case
        a       a       DET   DT   9  det     9  det
        moped   moped   NOUN  NN   7  pobj    2  nmod
    """,
    "preposition after a verb": """
        A       a       DET   DT   2  det     2  det
        dog     dog     NOUN  NN   4  nsubj   4  nsubj
        is      be      AUX   VBZ  4  aux     4  aux
        lying   lie     VERB  VBG  0  ROOT    0  root
        on      on      ADP   IN   4  prep    7  case
        the     the     DET   DT   7  det     7  det
        grass   grass   NOUN  NN   5  pobj    4  obl
        .       .       PUNCT .    4  punct   4  punct
    """,
    "adjective as predicate": """
        The     the     DET   DT   2  det     2  det
        bench   bench   NOUN  NN   3  nsubj   5  nsubj
        is      be      AUX   VBZ  0  ROOT    5  cop
        very    very    ADV   RB   5  advmod  5  advmod
        old     old     ADJ   JJ   3  acomp   0  root
        .       .       PUNCT .    3  punct   5  punct
    """,
    "noun as predicate": """
        This    this    PRON  DT   2  nsubj   4  nsubj
        is      be      AUX   VBZ  0  ROOT    4  cop
        a       a       DET   DT   4  det     4  det
        picture picture NOUN  NN   2  attr    0  root
        of      of      ADP   IN   4  prep    7  case
        a       a       DET   DT   7  det     7  det
        room    room    NOUN  NN   5  pobj    4  nmod
    """,
    "place as predicate": """
        The     the     DET   DT   2  det     2  det
        cat     cat     NOUN  NN   3  nsubj   6  nsubj
        is      be      AUX   VBZ  0  ROOT    6  cop
        on      on      ADP   IN   3  prep    6  case
        the     the     DET   DT   6  det     6  det
        table   table   NOUN  NN   4  pobj    0  root
        .       .       PUNCT .    3  punct   6  punct
    """,
    "existential": """
        There   there   PRON  EX   2  expl    2  expl
        are     be      VERB  VBP  0  ROOT    0  root
        two     two     NUM   CD   4  nummod  4  nummod
        dogs    dog     NOUN  NNS  2  attr    2  nsubj
        in      in      ADP   IN   4  prep    7  case
        the     the     DET   DT   7  det     7  det
        water   water   NOUN  NN   5  pobj    4  nmod
    """,
    "list of things": """
        A       a       DET   DT   2  det     2  det
        cat     cat     NOUN  NN   0  ROOT    0  root
        ,       ,       PUNCT ,    2  punct   5  punct
        a       a       DET   DT   5  det     5  det
        dog     dog     NOUN  NN   2  conj    2  conj
        and     and     CCONJ CC   5  cc      8  cc
        a       a       DET   DT   8  det     8  det
        bird    bird    NOUN  NN   5  conj    2  conj
    """,
    "passive with agent": """
        A       a       DET   DT   2  det        2  det
        cake    cake    NOUN  NN   4  nsubjpass  4  nsubj:pass
        is      be      AUX   VBZ  4  auxpass    4  aux:pass
        cut     cut     VERB  VBN  0  ROOT       0  root
        by      by      ADP   IN   4  agent      7  case
        a       a       DET   DT   7  det        7  det
        woman   woman   NOUN  NN   5  pobj       4  obl:agent
    """,
    "relative clause": """
        A       a       DET   DT   2  det     2  det
        man     man     NOUN  NN   0  ROOT    0  root
        who     who     PRON  WP   4  nsubj   4  nsubj
        rides   ride    VERB  VBZ  2  relcl   2  acl:relcl
        a       a       DET   DT   6  det     6  det
        horse   horse   NOUN  NN   4  dobj    4  obj
    """,
    "relative clause with a place": """
        Two     two     NUM   CD   2  nummod  2  nummod
        men     man     NOUN  NNS  0  ROOT    0  root
        that    that    PRON  WDT  4  nsubj   7  nsubj
        are     be      AUX   VBP  2  relcl   7  cop
        in      in      ADP   IN   4  prep    7  case
        a       a       DET   DT   7  det     7  det
        kitchen kitchen NOUN  NN   5  pobj    2  acl:relcl
    """,
    "possessors": """
        A       a       DET   DT   2  det     2  det
        man     man     NOUN  NN   4  poss    4  nmod:poss
        's      's      PART  POS  2  case    2  case
        dog     dog     NOUN  NN   5  nsubj   5  nsubj
        bites   bite    VERB  VBZ  0  ROOT    0  root
        his     his     PRON  PRP$ 7  poss    7  nmod:poss
        shoe    shoe    NOUN  NN   5  dobj    5  obj
    """,
    "compound noun": """
        a       a       DET   DT   4  det       4  det
        teddy   teddy   NOUN  NN   3  compound  3  compound
        bear    bear    NOUN  NN   4  compound  4  compound
        costume costume NOUN  NN   0  ROOT      0  root
    """,
    "participle and particle": """
        A       a       DET   DT   2  det     2  det
        boy     boy     NOUN  NN   0  ROOT    0  root
        picking pick    VERB  VBG  2  acl     2  acl
        up      up      ADP   RP   3  prt     3  compound:prt
        a       a       DET   DT   6  det     6  det
        ball    ball    NOUN  NN   3  dobj    3  obj
    """,
    "chain of prepositions": """
        A       a       DET   DT   2  det     2  det
        cat     cat     NOUN  NN   3  nsubj   3  nsubj
        climbs  climb   VERB  VBZ  0  ROOT    0  root
        out     out     ADP   IN   3  prep    7  case
        of      of      ADP   IN   4  prep    7  case
        a       a       DET   DT   7  det     7  det
        box     box     NOUN  NN   5  pobj    3  obl
    """,
    "next to": """
        A       a       DET   DT   2  det     2  det
        toilet  toilet  NOUN  NN   3  nsubj   3  nsubj
        sits    sit     VERB  VBZ  0  ROOT    0  root
        next    next    ADV   RB   3  advmod  7  case
        to      to      ADP   IN   4  prep    7  case
        a       a       DET   DT   7  det     7  det
        wall    wall    NOUN  NN   5  pobj    3  obl
    """,
    "in front of": """
        A       a        DET   DT   2  det     2  det
        bike    bike     NOUN  NN   0  ROOT    0  root
        in      in       ADP   IN   2  prep    4  case
        front   front    NOUN  NN   3  pobj    2  nmod
        of      of       ADP   IN   4  prep    7  case
        a       a        DET   DT   7  det     7  det
        shop    shop     NOUN  NN   5  pobj    4  nmod
    """,
    "infinitive": """
        A       a       DET   DT   2  det     2  det
        girl    girl    NOUN  NN   3  nsubj   3  nsubj
        tries   try     VERB  VBZ  0  ROOT    0  root
        to      to      PART  TO   5  aux     5  mark
        catch   catch   VERB  VB   3  xcomp   3  xcomp
        it      it      PRON  PRP  5  dobj    5  obj
    """,
    "preposition before a clause": """
        A       a       DET   DT   2  det     2  det
        man     man     NOUN  NN   3  nsubj   3  nsubj
        rests   rest    VERB  VBZ  0  ROOT    0  root
        after   after   ADP   IN   3  prep    5  mark
        riding  ride    VERB  VBG  4  pcomp   3  advcl
        a       a       DET   DT   7  det     7  det
        horse   horse   NOUN  NN   5  dobj    5  obj
    """,
    "coordinated predicates": """
        The     the     DET   DT   2  det     2  det
        bus     bus     NOUN  NN   3  nsubj   4  nsubj
        is      be      AUX   VBZ  0  ROOT    4  cop
        red     red     ADJ   JJ   3  acomp   0  root
        and     and     CCONJ CC   4  cc      6  cc
        white   white   ADJ   JJ   4  conj    4  conj
    """,
    "two objects": """
        A       a       DET   DT   2  det     2  det
        boy     boy     NOUN  NN   3  nsubj   3  nsubj
        gives   give    VERB  VBZ  0  ROOT    0  root
        food    food    NOUN  NN   3  dobj    3  obj
        to      to      ADP   IN   3  dative  7  case
        an      an      DET   DT   7  det     7  det
        elephant elephant NOUN NN  5  pobj    3  obl
    """,
    "change of state": """
        A       a       DET   DT   2  det     2  det
        cat     cat     NOUN  NN   3  nsubj   3  nsubj
        looks   look    VERB  VBZ  0  ROOT    0  root
        sleepy  sleepy  ADJ   JJ   3  acomp   3  xcomp
        today   today   NOUN  NN   3  npadvmod 3 obl:unmarked
    """,
    "full of": """
        A       a       DET   DT   2  det     2  det
        plate   plate   NOUN  NN   0  ROOT    0  root
        full    full    ADJ   JJ   2  amod    2  amod
        of      of      ADP   IN   3  prep    5  case
        fruit   fruit   NOUN  NN   4  pobj    3  obl
    """,
    "coordinated prepositional phrases": """
        Birds   bird    NOUN  NNS  0  ROOT    0  root
        in      in      ADP   IN   1  prep    4  case
        the     the     DET   DT   4  det     4  det
        air     air     NOUN  NN   2  pobj    1  nmod
        and     and     CCONJ CC   2  cc      8  cc
        on      on      ADP   IN   2  conj    8  case
        the     the     DET   DT   8  det     8  det
        ground  ground  NOUN  NN   6  pobj    4  conj
    """,
    "such as": """
        Fruit   fruit   NOUN  NN   0  ROOT    0  root
        such    such    ADJ   JJ   3  amod    4  case
        as      as      ADP   IN   1  prep    2  fixed
        apples  apple   NOUN  NNS  3  pobj    1  nmod
    """,
    "negation": """
        A       a       DET   DT   2  det     2  det
        light   light   NOUN  NN   5  nsubj   5  nsubj
        is      be      AUX   VBZ  5  aux     5  aux
        not     not     PART  RB   5  neg     5  advmod
        working work    VERB  VBG  0  ROOT    0  root
    """,
    "preposition as root": """
        In      in      ADP   IN   0  ROOT    3  case
        the     the     DET   DT   3  det     3  det
        park    park    NOUN  NN   1  pobj    0  root
    """,
}  # fmt: skip
