"""The public names of each room: they are there and load what they need alone; other libraries know our folders."""

import importlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medglip.grounding.grounders.pretrained import checkpoint_folder
from medglip.vqa.model.shipped import shipped_folder

ROOMS = ("grounding", "vqa", "report", "eval")


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_there_under_its_own_name(room: str) -> None:
    module = importlib.import_module(f"medglip.{room}")
    listed = [name for names in module._MODULES.values() for name in names]
    assert sorted(listed) == sorted(module.__all__)
    for name in module.__all__:
        found = getattr(module, name)
        assert not isinstance(found, type(sys)), f"{name} is hidden by a module of its name"
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


def test_rooms_load_torch_only_with_a_name_that_needs_it() -> None:
    code = (
        "import sys, medglip.grounding, medglip.vqa, medglip.report, medglip.eval\n"
        "from medglip.grounding import Region, open_image, load_grounder\n"
        "from medglip.eval import read_records\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[]"


def test_transformers_knows_a_core_after_one_import() -> None:
    code = (  # `from medglip.grounding import MedGlipModel` imports the same module
        "import medglip.grounding.model\nfrom transformers import AutoModel, AutoProcessor\n"
        f"folder = {str(checkpoint_folder('small'))!r}\n"
        "print(type(AutoModel.from_pretrained(folder)).__name__, type(AutoProcessor.from_pretrained(folder)).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.split() == ["MedGlipModel", "MedGlipProcessor"]


@pytest.mark.parametrize("folder", [shipped_folder("adapter", "small"), shipped_folder("aligned", "small")])
def test_plain_peft_names_the_base_of_a_shipped_adapter_at_once(folder: Path) -> None:
    from peft import AutoPeftModel

    start = time.monotonic()
    with pytest.raises(OSError, match=r"smollm2-135m behind the image tower of its core.*medglip\.vqa\.load_answerer"):
        AutoPeftModel.from_pretrained(str(folder))
    assert time.monotonic() - start < 10
