"""``python -m dallm``: the same as the command ``dallm``."""

from dallm.cli import main

if __name__ == "__main__":
    main()
