"""ZT-7, encryption of labelled data: what is readable without a key, and who gets which key."""

from __future__ import annotations

from graders.judge.evidence import Evidence
from graders.judge.marks import check


@check("ZT-7.1")
def check_nothing_is_readable(evidence: Evidence) -> None:
    """No personal or health value, and no data key, may be readable in any object of the platform's namespaces.

    Encrypting the table does not remove other copies of it. Which of them did a tool make without being asked? Encoding
    is not encryption. And the table has to be there still: every row once, with its internal columns as delivered.
    """
    evidence.demand("refused")


@check("ZT-7.2")
def check_every_value_comes_back(evidence: Evidence) -> None:
    """The feature store must get every personal and health value back, on every cloud, from the right row.

    Log in as the feature store, and open what you have stored, by the form that the task gives: which transit key unwraps,
    how long data key and nonce are, what the associated data is made of. Do so once more after the rotation.
    """
    evidence.demand("allowed")


@check("ZT-7.3")
def check_labels_open_for_their_readers(evidence: Evidence) -> None:
    """The feature store opens both labels, the trainer personal data only, and nobody else anything, on their own cloud.

    A data key is unwrapped by `decrypt` and handed out in the clear by `datakey/plaintext`. Which policies let whom do
    either, with which key, of which cloud?
    """
    evidence.demand("allowed", "refused")


@check("ZT-7.4")
def check_old_keys_are_dead(evidence: Evidence) -> None:
    """Both keys of each cloud must have been rotated, and a data key that an older version wrapped must be dead.

    Rotation makes a version; it ends none. What is wrapped by the old one has to be wrapped anew before the old one may
    be shut off, and only then is a stolen copy of no use.
    """
    evidence.demand("allowed", "refused")


@check("ZT-7.5")
def check_keys_stay_in_vault(evidence: Evidence) -> None:
    """The keys must not be exportable, not be backed up in the clear, not be deletable, and no workload may manage them.

    Some of a transit key's settings cannot be taken back once they are made. Look at the key as Vault shows it.
    """
    evidence.demand("refused")


@check("ZT-7.6")
def check_ciphertexts_are_bound(evidence: Evidence) -> None:
    """An envelope must open in its own place only: cloud, row and label; and no two may share a data key.

    Whoever can write the table, but read nothing of it, can still move things about. What makes decryption notice?
    """
    evidence.demand("refused")
