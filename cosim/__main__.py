"""Run the command line as `python -m cosim`."""

from cosim.cli import main

if __name__ == "__main__":
    main()
