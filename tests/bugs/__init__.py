"""The bugs that `planted_bugs` plants, a module for each room of the package. A bug follows the code: its text must be there."""
