"""The engine: controls -> residuals -> the host's U-Net. Knows torch and the host's two protocols;
knows nothing of files, diffusers, ComfyUI's modules, or how a hint is made."""
