"""`make bench`: every benchmark, one after another; `python -m benchmarks NAME` runs one."""

import importlib
import pkgutil
import sys

import benchmarks


def main() -> None:
    names = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_"))
    wanted = sys.argv[1:2] or names
    for name in wanted:
        if name not in names:
            sys.exit(f"there is no benchmark {name!r}; there are: {', '.join(names)}")
        print(f"== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main(sys.argv[2:])


if __name__ == "__main__":
    main()
