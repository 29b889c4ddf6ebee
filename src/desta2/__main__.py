"""`python -m desta2`, for launchers that start a module: `torchrun --nproc-per-node=8 -m desta2 train …`."""

from desta2.cli import main

if __name__ == "__main__":
    main()
