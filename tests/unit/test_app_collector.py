"""How often cycles are looked for."""

import subprocess
import sys

_CODE = """if True:
    import gc
    from webhooks_server.app.process import spare_collector

    class Cycle:
        alive = 0
        def __init__(self):
            self.itself = self
            Cycle.alive += 1
        def __del__(self):
            Cycle.alive -= 1

    looked = []
    gc.callbacks.append(lambda phase, _: looked.append(phase))
    spare_collector()
    before = gc.get_freeze_count()
    kept = [(number,) for number in range(5_000)]
    print(before > 10_000, len(looked))
    most = 0
    for _ in range(100_000):
        Cycle()
        most = max(most, Cycle.alive)
    print(0 < most < 20_000)
"""


def test_values_are_not_searched_for_cycles_and_cycles_do_not_pile_up() -> None:
    done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines() == ["True 0", "True"]
