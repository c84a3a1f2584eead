"""What a machine says of itself, and the site file that can be drafted from it.

Commands and what reads them are pure pairs (`commands`); `read` runs them; `draft` makes the data
of a site file of what they said, `write` its text; `compare` finds where a site file has drifted.
"""
