"""What a model file is, told from its header: names, shapes and kind. Knows torch's and safetensors'
formats; knows nothing of hosts, nodes, folders on this machine, or how a model is loaded."""
