"""Model files behind MODEL, CLIP, VAE and CONTROL_NET: checked, loaded offline, wrapped.
Knows nothing of graphs, nodes or samplers; imports diffusers and transformers when first needed.
"""
