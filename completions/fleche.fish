complete --keep-order --exclusive --command fleche --arguments "(COMPLETE=fish fleche -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
