"""``python -m amoc``."""

from amoc.cli import main

if __name__ == "__main__":
    main()
