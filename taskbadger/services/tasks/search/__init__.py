"""The search over the projects of an organization, newest first.

``reading`` turns text into filters. ``plan`` chooses the first index that suits them, and splits
the search into *branches*: each is one range of that index, such as one project and status. With
many projects, a branch covers all of them at once (``many_projects``). ``statements`` walks each
branch, newest first, and merges them. What no index answers is checked on a limited number of rows,
the *scan*; if that was not enough, ``pages`` says how far it looked, and the next page looks
further. So a page costs the same at a thousand tasks and at a million.
"""
