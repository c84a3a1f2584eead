"""What the parts of the runtime share: names of files, words of states, small tools."""
