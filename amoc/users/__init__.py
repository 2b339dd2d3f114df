"""A user, its mailbox, the mail between users, who runs where and who is removed."""
