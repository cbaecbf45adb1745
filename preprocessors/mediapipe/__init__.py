"""MediaPipe's networks of people, hands and faces in torch, with weights that ship with the pack.

Rules and numbers are those of MediaPipe 0.10.21 (https://github.com/google-ai-edge/mediapipe), each
named by its file there, or those of the graphs that its wheel has compiled in.
"""
