"""To a hub and back, through the real huggingface_hub, to a server on this machine that asks for a token.

In a process of its own: huggingface_hub reads the address of the hub when it is imported.
"""

import os
import subprocess
import sys

import pytest
from loopback_hub import LoopbackHub

from desta2.model.modelcard import CardFacts

pytestmark = pytest.mark.timeout(300)  # a process that imports everything

TOKEN = "hf_secret"

SCRIPT = """
import os
import sys
import torch
from huggingface_hub import HfApi
from transformers import AutoModel, AutoProcessor
import desta2
from desta2.errors import CheckpointError

folder, token = sys.argv[1:]


def read_card():
    return open(HfApi(token=token).hf_hub_download("me/ears", "README.md")).read()


model = desta2.load(folder, token=token)  # its frozen models come from the hub
address = model.push_to_hub("me/ears", token=token, commit_message="First")
assert "/me/ears/commit/" in address, address
card = read_card()
assert "# me/ears" in card, card
assert "- Nothing yet." in card, card

again = AutoModel.from_pretrained("me/ears", token=token)
assert type(again) is desta2.Desta2Model
for name, tensor in model.state_dict().items():
    assert torch.equal(tensor, again.state_dict()[name]), name
processor = desta2.Desta2Processor.from_pretrained("me/ears", token=token)
hello = [{"role": "user", "content": "Hello"}]
assert processor.prompt(hello) == model.processor.prompt(hello)
try:
    desta2.load("me/ears", cache_dir=folder + "/other-cache")
except CheckpointError as error:
    assert "neither a folder nor a hub model with adapter.safetensors and config.json" in str(error), error
else:
    raise AssertionError("loaded without the token")

with torch.no_grad():
    again.adapter.layer_weights += 1
again.push_to_hub("me/ears", token=token)
assert "- Nothing yet." not in read_card(), "it told of other weights"
HfApi(token=token).upload_file(path_or_fileobj=b"# Mine", path_in_repo="README.md", repo_id="me/ears")
again.save_pretrained(folder + "/copy", push_to_hub=True, repo_id="me/ears", token=token, commit_message="Last")

os.environ["HF_TOKEN"] = token  # the AutoProcessor of transformers 5.0 forgets the token that it is given
AutoProcessor.from_pretrained("me/ears").push_to_hub("me/processor")
"""


@pytest.fixture(scope="module")
def visit(bases, make_model, tmp_path_factory):
    """The hub after the visit, and the folder that was sent there."""
    model = make_model(bases)
    model.config.llm_id, model.config.encoder_id = "me/llm", "me/whisper"
    folder = tmp_path_factory.mktemp("sent") / "tiny"
    model.save_pretrained(folder, card=CardFacts(training=["Nothing yet."]))
    with LoopbackHub(TOKEN) as hub:
        hub.add("me/llm", bases / "llm")
        hub.add("me/whisper", bases / "whisper")
        names = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder.parent / "home")}
        ran = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(folder), TOKEN],
            env={**os.environ, **names, "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"},
            capture_output=True,
            text=True,
        )
    assert ran.returncode == 0, ran.stderr
    return hub, folder


def test_a_commit_holds_our_files_and_nothing_else(visit):
    hub, _ = visit
    ours = ["README.md", "adapter.safetensors", "config.json"]
    assert hub.commits == [
        ("me/ears", "First", ours),
        ("me/ears", "Upload with desta2", ours),
        ("me/ears", "Upload README.md with huggingface_hub", ["README.md"]),
        ("me/ears", "Last", ["README.md", "adapter.safetensors", "config.json"]),
        ("me/processor", "Upload with desta2", ["config.json"]),
    ]


def test_the_files_arrive_whole(visit):
    hub, folder = visit
    assert hub.repos["me/ears"]["config.json"] == (folder / "config.json").read_bytes()
    assert (
        hub.repos["me/ears"]["adapter.safetensors"] == (folder / "copy" / "adapter.safetensors").read_bytes()
    )
    assert hub.repos["me/ears"]["README.md"] == b"# Mine"
    assert hub.repos["me/processor"]["config.json"] == (folder / "config.json").read_bytes()
