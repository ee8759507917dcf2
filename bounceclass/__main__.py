"""``python -m bounceclass``."""

from bounceclass.app.cli import main

if __name__ == "__main__":
    main()
