"""What is to be computed, in which order, and what to do when a worker dies. Pure bookkeeping: no Ray, no clock.

All state comes from storage when a run starts; a driver that is killed loses nothing. Shards are opened a few at a
time and finished depth first, so memory does not grow with the number of images and tables appear early. Shards
that an estimate is still to be learned from are open all together, and what leads to it goes first: everything that
reads it waits, while what does not goes on in the sample and in as many shards more as are open at other times. An
open shard takes some 6 KB here: of 10M images in shards of 512, of which all lead to an estimate, that is 120 MB.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from engine.errors import StageFailed
from engine.graph import NO_SAMPLE, Graph
from engine.job import Job, Receipt
from engine.plan import Plan
from engine.publish import Marker
from engine.sidecar import SAMPLE, Listing, Part, Sidecar

MIN_WINDOW = 16
KILLS_BEFORE_SPLIT = 2
KILLS_BEFORE_GIVING_UP = 2
KILLS_OF_A_WHOLE = 5  # publishing, learning and joining parts cannot be split


@dataclass(slots=True)
class Counts:
    """How far a run is, in jobs of this run; `quarantined` by stage name, over everything in storage."""

    jobs: int = 0
    done: int = 0
    reused: int = 0
    run: int = 0
    images: int = 0
    images_done: int = 0
    peak_memory: int = 0
    busy_seconds: float = 0.0
    quarantined: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Shard:
    """An open shard: the newest sidecar of each node, and what runs for it."""

    number: int
    newest: list[Sidecar | None]
    stale: tuple[Marker, ...]
    queued: set[int] = field(default_factory=set)
    pending: dict[int, set[tuple[int, int]]] = field(default_factory=dict)  # node -> ranges still to compute
    parts: dict[int, list[Part]] = field(default_factory=dict)
    redo: set[int] = field(default_factory=set)


class Schedule:
    """Hands out jobs that are ready and takes back receipts and deaths."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        listings: Iterable[Listing],
        markers: Iterable[Marker],
        *,
        retry: bool = False,
    ) -> None:
        """`listings` has one entry a node (empty for the sink); `retry` also plans quarantined images again.

        Raises:
            ValueError: the graph learns something and was not put over the plan.
        """
        self.graph, self.plan, self.counts = graph, plan, Counts()
        self._listings, self._retry, self._window = list(listings), retry, MIN_WINDOW
        self.todo_by_node: dict[str, int] = {}
        self._markers: dict[str, list[Marker]] = {}
        for marker in markers:
            self._markers.setdefault(marker.shard.partition("-")[0], []).append(marker)
        self._heaps: dict[str, list[tuple[bool, int, int, int, Job]]] = {crew: [] for crew in graph.crews}
        self._open: dict[int, _Shard] = {}
        self._next, self._tick, self._flying = 0, 0, 0
        self._kills: dict[tuple[int, int, int, int | None, bool], int] = {}
        self._spans = graph.spans(plan.shards)
        self._unlearned = self._estimates_to_learn()
        self._leading = self._leading_nodes()
        self._count()

    def serve(self, workers: int) -> None:
        """Keep enough shards open for so many workers, two jobs each, in graphs that are a chain in places."""
        self._window = max(MIN_WINDOW, 4 * workers)

    # -- what executors ask --------------------------------------------------------------------------

    def next_job(self, crew: str) -> Job | None:
        """A job that is ready for `crew`, earliest shard first; None when there is none at the moment."""
        heap, sampled = self._heaps[crew], self._sampled
        while self._next < self.plan.shards and (
            self._next < sampled or (not heap and len(self._open) < self._window + sampled)
        ):
            self._open_shard(self._next)
            self._next += 1
        if not heap:
            return None
        self._flying += 1
        return heapq.heappop(heap)[-1]

    @property
    def finished(self) -> bool:
        """Everything is computed and nothing is under way."""
        return self.counts.done >= self.counts.jobs and not self._flying

    def done(self, receipt: Receipt) -> None:
        """A job committed its file."""
        self._flying -= 1
        job, counts = receipt.job, self.counts
        counts.run += 1
        counts.busy_seconds += receipt.seconds
        counts.peak_memory = max(counts.peak_memory, receipt.memory)
        if self.graph.nodes[job.node].is_estimate:
            self._learned(job.node, receipt.sidecar)
            return
        shard = self._open[job.shard]
        if job.hi is not None:
            self._part_done(shard, job, job.hi)
            return
        old = shard.newest[job.node]
        shard.newest[job.node] = receipt.sidecar
        shard.queued.discard(job.node)
        shard.redo.discard(job.node)
        shard.parts.pop(job.node, None)
        counts.done += 1
        name = self.graph.nodes[job.node].name
        change = receipt.sidecar.quarantined - (old.quarantined if old else 0)
        counts.quarantined[name] = counts.quarantined.get(name, 0) + change
        self._advance(job.shard)

    def give_back(self, job: Job) -> None:
        """A job that never started: its worker went away before it. No attempt is burnt."""
        self._flying -= 1
        self._push(replace(job, again=True))

    def killed(self, job: Job) -> Job | None:
        """A job's worker died under it. Returns a one-image job to be written off, once nothing else helps.

        Raises:
            StageFailed: a job that cannot be split keeps killing its workers.
        """
        self._flying -= 1
        job = replace(job, again=True)
        kills = self._kills[self._range(job)] = self._kills.get(self._range(job), 0) + 1
        count = int(self.plan.counts[job.shard])
        lo, hi = job.lo, count if job.hi is None else job.hi
        node = self.graph.nodes[job.node]
        splittable = not (node.is_sink or node.is_estimate or job.parts)
        if not splittable and kills >= KILLS_OF_A_WHOLE:
            where = f"shard {self.plan.name(job.shard)}" if node.sample is None else f"{node.sample.shards} shards"
            raise StageFailed(f"{node.name} lost {kills} workers on {where}; is memory too small?", node.name)
        if splittable and hi - lo == 1 and kills >= KILLS_BEFORE_GIVING_UP:
            return replace(job, lo=lo, hi=hi)
        whole = job.hi is None
        if splittable and hi - lo > 1 and kills >= (KILLS_BEFORE_SPLIT if whole else 1):
            middle = (lo + hi) // 2
            shard = self._open[job.shard]
            ranges = shard.pending.setdefault(job.node, set())
            ranges.discard((lo, hi))
            for piece in ((lo, middle), (middle, hi)):
                ranges.add(piece)
                self._push(replace(job, lo=piece[0], hi=piece[1]))
            return None
        self._push(job)
        return None

    def kills(self, job: Job) -> int:
        """How often this very range has killed its worker."""
        return self._kills.get(self._range(job), 0)

    def written_off(self, job: Job) -> None:
        """The one-image part of a killer has been committed (by `engine.job.commit_lost`)."""
        self._part_done(self._open[job.shard], job, job.lo + 1)

    # -- what is learned once ---------------------------------------------------------------------------

    def _estimates_to_learn(self) -> dict[int, set[int]]:
        """For each estimate that is not in storage, the sampled shards that it still waits for."""
        found: dict[int, set[int]] = {}
        for index, node in enumerate(self.graph.nodes):
            if node.sample == NO_SAMPLE:
                raise ValueError(f"{node.name} has no sample; put the graph over the plan with Graph.over")
            if node.sample is not None and SAMPLE not in self._listings[index].newest:
                found[index] = set(range(node.sample.shards))
        return found

    @property
    def _sampled(self) -> int:
        """How many of the first shards are wanted for what is still to be learned."""
        return max((self._sample_size(i) for i in self._unlearned), default=0)

    def _sample_size(self, estimate: int) -> int:
        sample = self.graph.nodes[estimate].sample
        return 0 if sample is None else sample.shards

    def _leading_nodes(self) -> set[int]:
        """What is still to be learned, and all that it is learned from."""
        leading = set(self._unlearned)
        for index in reversed(range(len(self.graph.nodes))):
            if index in leading:
                leading.update(self.graph.nodes[index].inputs)
        return leading

    def _learn_if_ready(self, shard: int, stale: set[int]) -> None:
        """The shard got further: queue each estimate for which it was the last to have all inputs."""
        for index, waits_for in self._unlearned.items():
            node = self.graph.nodes[index]
            if shard in waits_for and not any(i in stale for i in node.inputs):
                waits_for.remove(shard)
                if not waits_for:
                    # An estimate is never answered anew, so whatever was retried in the sample: generation 0.
                    self._push(Job(index, 0, 0, tuple(self._sample_paths(index, i) for i in node.inputs)))

    def _sample_paths(self, estimate: int, source: int) -> tuple[str, ...]:
        shards = range(1 if self.graph.nodes[source].is_estimate else self._sample_size(estimate))
        return tuple(self._path(source, self._open[shard]) for shard in shards)

    def _learned(self, index: int, written: Sidecar) -> None:
        """An estimate is in storage: go on with every shard that waited for it."""
        self.counts.done += 1
        del self._unlearned[index]
        self._leading = self._leading_nodes()
        self._listings[index].newest[SAMPLE] = written
        for number, state in list(self._open.items()):
            state.newest[index] = written
            self._advance(number)

    # -- bookkeeping ------------------------------------------------------------------------------------

    def _count(self) -> None:
        """Totals from the listings alone; shards themselves stay closed."""
        counts = self.counts
        counts.images = self.plan.images
        counts.jobs = sum(self._spans)
        todo = dict.fromkeys(self._unlearned, 1)
        for shard in range(self.plan.shards):
            state = self._state(shard)
            stale = self._stale_nodes(state)
            for index in stale - self._unlearned.keys():
                todo[index] = todo.get(index, 0) + 1
            if not stale:
                counts.images_done += int(self.plan.counts[shard])
            for node, span, newest in zip(self.graph.nodes, self._spans, state.newest, strict=True):
                if newest and newest.quarantined and shard < span:
                    counts.quarantined[node.name] = counts.quarantined.get(node.name, 0) + newest.quarantined
        self.todo_by_node = {self.graph.nodes[index].name: count for index, count in sorted(todo.items())}
        counts.reused = counts.done = counts.jobs - sum(todo.values())

    def _state(self, shard: int) -> _Shard:
        name = self.plan.name(shard)
        sink = len(self.graph.nodes) - 1
        newest = [
            listing.newest.get(SAMPLE if node.is_estimate else name)
            for node, listing in zip(self.graph.nodes, self._listings, strict=True)
        ]
        markers = self._markers.get(name.partition("-")[0], [])
        fresh = [m for m in markers if m.shard == name and m.fingerprint == self.graph.nodes[sink].fingerprint]
        # Two markers of one shard: two runs published over each other, so its tables may be mixed. Publish again.
        if len(markers) == len(fresh) == 1:
            newest[sink] = Sidecar(name, fresh[0].generation, 0)
        state = _Shard(shard, newest, tuple(markers))
        if self._retry:
            state.redo = {i for i, s in enumerate(newest) if s is not None and s.quarantined}
        return state

    def _stale_nodes(self, state: _Shard) -> set[int]:
        """Nodes to compute: absent, asked again, older than an input, or below such a one; an estimate only if absent."""
        stale: set[int] = set()
        for index, node in enumerate(self.graph.nodes):
            own = state.newest[index]
            if node.is_estimate:
                anew = own is None
            elif state.number >= self._spans[index]:
                anew = False
            else:
                below = any(i in stale for i in node.inputs)
                anew = own is None or index in state.redo or below or _older(own, node.inputs, state.newest)
            if anew:
                stale.add(index)
        return stale

    def _open_shard(self, shard: int) -> None:
        state = self._state(shard)
        if self._stale_nodes(state):
            self._open[shard] = state
            self._resume_parts(shard, state)
            self._advance(shard)

    def _resume_parts(self, shard: int, state: _Shard) -> None:
        """A killed driver left a bisection half done: go on where it stood."""
        name, count = self.plan.name(shard), int(self.plan.counts[shard])
        for index, listing in enumerate(self._listings):
            found = listing.parts.get((name, self._generation(state, index)), [])
            if not found or index not in self._stale_nodes(state):
                continue
            missing, position = set(), 0
            state.parts[index] = []
            # Largest first: a worker may have committed a part just before it died, and the part was split after.
            for part in sorted(found, key=lambda p: (p.lo, -p.hi)):
                if part.lo < position:
                    continue
                if part.lo > position:
                    missing.add((position, part.lo))
                position = part.hi
                state.parts[index].append(part)
            if position < count:
                missing.add((position, count))
            state.pending[index] = missing

    def _advance(self, shard: int) -> None:
        """Queue every node whose inputs are ready; close the shard when none is left."""
        state = self._open[shard]
        stale = self._stale_nodes(state)
        self._learn_if_ready(shard, stale)
        if not stale:
            del self._open[shard]
            self.counts.images_done += int(self.plan.counts[shard])
            return
        for index in sorted(stale - state.queued - self._unlearned.keys()):
            if not any(i in stale for i in self.graph.nodes[index].inputs):
                state.queued.add(index)
                self._queue(shard, index, state)

    def _queue(self, shard: int, index: int, state: _Shard) -> None:
        job = self._job(shard, index, state)
        if index in state.parts:
            ranges = state.pending[index]
            if not ranges:
                self._push(replace(job, parts=tuple(sorted(state.parts[index], key=lambda p: p.lo))))
            for lo, hi in sorted(ranges):
                self._push(replace(job, lo=lo, hi=hi))
        else:
            self._push(job)

    def _job(self, shard: int, index: int, state: _Shard) -> Job:
        node = self.graph.nodes[index]
        paths = tuple((self._path(i, state),) for i in node.inputs)
        previous = None if node.is_sink else state.newest[index]
        stale = state.stale if node.is_sink else ()
        generation = self._generation(state, index)
        return Job(index, shard, generation, paths, previous, index in state.redo, stale=stale)

    def _path(self, index: int, state: _Shard) -> str:
        node, newest = self.graph.nodes[index], state.newest[index]
        if newest is None:
            raise RuntimeError(f"{node.name} of {self.plan.name(state.number)} is read before it is computed")
        return f"{node.folder}/{newest.filename}"

    def _generation(self, state: _Shard, index: int) -> int:
        """One more than anything of this shard where images are asked again, else the newest input's."""
        if index in state.redo:
            return 1 + max(s.generation for s in state.newest if s is not None)
        own = state.newest[index]
        inputs = [s.generation for i in self.graph.nodes[index].inputs if (s := state.newest[i]) is not None]
        return max([0, *inputs, *([own.generation] if own else [])])

    def _part_done(self, shard: _Shard, job: Job, hi: int) -> None:
        part = Part(self.plan.name(job.shard), job.generation, job.lo, hi)
        shard.parts.setdefault(job.node, []).append(part)
        ranges = shard.pending.get(job.node, set())
        ranges.discard((job.lo, hi))
        if not ranges:
            parts = tuple(sorted(shard.parts[job.node], key=lambda p: p.lo))
            self._push(replace(job, lo=0, hi=None, parts=parts))

    def _push(self, job: Job) -> None:
        """Earliest shard first, and within it the deepest node, so that shards finish one after another.

        Before them what an estimate waits for.
        """
        self._tick += 1
        crew = self.graph.nodes[job.node].crew
        leads = job.shard < self._sampled and job.node in self._leading
        heapq.heappush(self._heaps[crew], (not leads, job.shard, -job.node, self._tick, job))

    @staticmethod
    def _range(job: Job) -> tuple[int, int, int, int | None, bool]:
        return job.node, job.shard, job.lo, job.hi, bool(job.parts)


def _older(own: Sidecar, inputs: Iterable[int], newest: Sequence[Sidecar | None]) -> bool:
    """An input was answered anew after this sidecar was written."""
    return any(s.generation > own.generation for i in inputs if (s := newest[i]) is not None)


Observer = Callable[[Counts], None]
