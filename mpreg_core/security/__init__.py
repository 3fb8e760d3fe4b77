"""Who may do what: tokens, certificates, and the roles they give."""
