"""``python -m amoc``."""

from amoc.cli.main import main

if __name__ == "__main__":
    main()
