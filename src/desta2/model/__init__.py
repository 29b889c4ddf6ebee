"""The speech language model. Importing this package registers it with transformers' Auto classes."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMultimodalLM,
    AutoProcessor,
)

from desta2.model.chat import ChatOutput
from desta2.model.configuration import Desta2Config
from desta2.model.modeling import Desta2Model, load
from desta2.model.processing import Desta2Processor

AutoConfig.register("desta2", Desta2Config, exist_ok=True)
for auto in (AutoModel, AutoModelForCausalLM, AutoModelForMultimodalLM):
    auto.register(Desta2Config, Desta2Model, exist_ok=True)
AutoProcessor.register(Desta2Config, Desta2Processor, exist_ok=True)

__all__ = ["ChatOutput", "Desta2Config", "Desta2Model", "Desta2Processor", "load"]
