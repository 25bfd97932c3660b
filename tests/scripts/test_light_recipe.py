import subprocess
import sys

CODE = """
import sys, time
start = time.process_time()
import medglip.scripts.recipe
print(time.process_time() - start, *(set(sys.argv[1:]) & set(sys.modules)))
"""
HEAVY = ("torch", "transformers", "datasets", "accelerate", "peft", "evaluate", "scipy", "pyarrow")


def test_a_recipe_is_read_without_anything_that_trains() -> None:
    run = subprocess.run([sys.executable, "-c", CODE, *HEAVY], capture_output=True, text=True, check=True)
    seconds, *loaded = run.stdout.split()
    assert not loaded
    assert float(seconds) < 2  # of the processor, 0.7 measured: room for a slow machine
