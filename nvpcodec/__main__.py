"""``python -m nvpcodec``."""

from nvpcodec.cli import main

if __name__ == "__main__":
    main()
