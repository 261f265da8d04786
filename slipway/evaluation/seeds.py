"""The seed of what transformers samples."""


def fix_seed(seed: int) -> None:
    """Let torch draw the same random numbers again; transformers takes no seed of its own."""
    import torch

    torch.manual_seed(seed)
