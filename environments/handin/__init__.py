"""What a learner hands in: how it is read, its digest, the archive and the receipt. Learners and graders share it.

Nothing here trusts, imports or unpickles a byte that somebody else wrote.
"""
