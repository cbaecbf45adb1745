"""What a model file is, told from its header: its tensors and its kind. Knows the formats of torch
and safetensors; knows nothing of hosts, nodes, folders, or how a model is loaded."""
