# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_fleche_global_optspecs
    string join \n q/quiet v/verbose color= h/help V/version
end

function __fish_fleche_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_fleche_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_fleche_using_subcommand
    set -l cmd (__fish_fleche_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c fleche -n "__fish_fleche_needs_command" -l color -d 'Whether to print in colour [default: auto, on a terminal]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c fleche -n "__fish_fleche_needs_command" -s q -l quiet -d 'Say nothing but errors'
complete -c fleche -n "__fish_fleche_needs_command" -s v -l verbose -d 'Say what was recognised, replayed and stored'
complete -c fleche -n "__fish_fleche_needs_command" -s h -l help -d 'Print help'
complete -c fleche -n "__fish_fleche_needs_command" -s V -l version -d 'Print version'
complete -c fleche -n "__fish_fleche_needs_command" -f -a "run" -d 'Run a command, or replay what it did when the same command met the same inputs'
complete -c fleche -n "__fish_fleche_needs_command" -f -a "query" -d 'Print the keys of stored calls, one a line, the most recent first'
complete -c fleche -n "__fish_fleche_needs_command" -f -a "table" -d 'List stored calls, the most recent first'
complete -c fleche -n "__fish_fleche_needs_command" -f -a "show" -d 'Show all that is stored of a call'
complete -c fleche -n "__fish_fleche_needs_command" -f -a "digest" -d 'Print the key of a command, without running it'
complete -c fleche -n "__fish_fleche_needs_command" -f -a "explain" -d 'Say why a command would be run, or what its replay does not cover, without running it'
complete -c fleche -n "__fish_fleche_needs_command" -f -a "contains" -d 'Say by the exit status whether a replay would succeed: 0 if it would, 1 if not'
complete -c fleche -n "__fish_fleche_needs_command" -f -a "call" -d 'Print a command as JSON, without running it'
complete -c fleche -n "__fish_fleche_using_subcommand run" -s t -l tag -d 'A tag for the call; FLECHE_TAGS (`a=1,b=2`) gives more' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -s p -l project -d 'The same as --tag project=NAME; FLECHE_PROJECT gives a default' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l max-entry -d 'Do not store a stream or an output larger than this [default: 4GiB], nor what --stdin has to read ahead [default: 256MiB]' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l mtime -d 'The modification time of restored files: now, unchanged where the file is right already, or as recorded' -r -f -a "now\t''
keep\t''
recorded\t''"
complete -c fleche -n "__fish_fleche_using_subcommand run" -l mode -d 'on: replay and store; off: run only; read-only: never store; refresh: run and store anew [default: $FLECHE_MODE, else on]' -r -f -a "on\t''
off\t''
read-only\t''
refresh\t''"
complete -c fleche -n "__fish_fleche_using_subcommand run" -l wait -d 'Wait at most this long for another run of the same command [default: as long as it lives]' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l cache-exit -d 'Store and replay runs that end with these exit codes too, as in `1,2`' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l ttl -d 'Do not replay a call that is older' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l stale -d 'Replay a call that is older than --ttl by up to this, and run the command again in the background' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l failure-ttl -d 'Do not replay a call with a non-zero exit code that is older' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -s i -l input -d 'A file, folder or glob that the command reads' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -s x -l exclude -d 'Leave out of folders and globs what matches' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -s o -l output -d 'A file, glob or `DIR/` that the command writes' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l env-mode -d 'Which variables count: all but the volatile ones, only those of --env, or those and nothing else is seen' -r -f -a "all\t''
listed\t''
strict\t''"
complete -c fleche -n "__fish_fleche_using_subcommand run" -l env -d 'A variable that counts, and may be recorded in clear' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l ignore-env -d 'A variable that does not count' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l require-env -d 'A variable without which nothing is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l ignore-arg -d 'An argument that does not count' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l require-arg -d 'An argument without which nothing is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l redact-arg -d 'An argument that counts but is never recorded in clear' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l program -d 'What of the program counts: its path and content, its path, or its name' -r -f -a "content\t''
path\t''
name\t''"
complete -c fleche -n "__fish_fleche_using_subcommand run" -l probe -d 'A shell command whose output counts, such as \'node --version\'' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l revision -d 'Counts as it stands: change it to forget all that was recorded before' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l stdin-from -d 'Take standard input from a file, or from a value or call that is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand run" -l color -d 'Whether to print in colour [default: auto, on a terminal]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c fleche -n "__fish_fleche_using_subcommand run" -l realtime -d 'Replay output at the pace at which it came'
complete -c fleche -n "__fish_fleche_using_subcommand run" -l gitignore -d 'Leave out of folders and globs what the ignore files of git name, tracked or not'
complete -c fleche -n "__fish_fleche_using_subcommand run" -l pure -d 'The command reads only its arguments, the files that they name and counted standard input, and writes only its streams'
complete -c fleche -n "__fish_fleche_using_subcommand run" -l no-cwd -d 'The working directory does not count'
complete -c fleche -n "__fish_fleche_using_subcommand run" -l stdin -d 'Standard input is input: it is read to its end, counted and given to the command'
complete -c fleche -n "__fish_fleche_using_subcommand run" -l no-stdin -d 'Standard input is not input: the command gets /dev/null'
complete -c fleche -n "__fish_fleche_using_subcommand run" -s q -l quiet -d 'Say nothing but errors'
complete -c fleche -n "__fish_fleche_using_subcommand run" -s v -l verbose -d 'Say what was recognised, replayed and stored'
complete -c fleche -n "__fish_fleche_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleche -n "__fish_fleche_using_subcommand query" -l format -d 'Print the columns of `fleche table` in this format' -r -f -a "table\t'With borders, for people'
json\t'An array of objects'
jsonl\t'An object a line'
csv\t'Comma-separated'
tsv\t'Tab-separated'
markdown\t'A table for documents'"
complete -c fleche -n "__fish_fleche_using_subcommand query" -l name -d 'Only commands whose name matches' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l arg -d 'Only calls with an argument that matches; N counts from 0, the command itself' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -s t -l tag -d 'Only calls with this tag, or with this value of it' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -s p -l project -d 'The same as --tag project=NAME' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l cwd -d 'Only calls from this working directory' -r -F
complete -c fleche -n "__fish_fleche_using_subcommand query" -l exit -d 'Only calls with this exit code' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l since -d 'Only calls that started then or later: a date, a time, or how long ago, as in `2h`' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l until -d 'Only calls that started before that' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l longer -d 'Only calls that took at least this long' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l input -d 'Only calls that looked at this path, and saw this value there' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l output -d 'Only calls that wrote this path' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l value -d 'Only calls that printed or wrote this value' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l grade -d 'Only calls whose inputs are known in this way' -r -f -a "traced\t''
declared\t''
pure\t''"
complete -c fleche -n "__fish_fleche_using_subcommand query" -l where -d 'Only calls for which this SQL expression holds, as in "walltime > 60 and tags ->> \'project\' is null"' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l sort -d 'Order by this column instead of the time: numbers and times from the largest, text from A' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l limit -d 'At most this many' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l skip -d 'Pass over this many' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l unique -d 'Only the first call of each value of this column' -r
complete -c fleche -n "__fish_fleche_using_subcommand query" -l color -d 'Whether to print in colour [default: auto, on a terminal]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c fleche -n "__fish_fleche_using_subcommand query" -l json -d 'Print a JSON object a line, with all columns, tags and arguments'
complete -c fleche -n "__fish_fleche_using_subcommand query" -l count -d 'Print how many there are'
complete -c fleche -n "__fish_fleche_using_subcommand query" -l reverse -d 'The other way round'
complete -c fleche -n "__fish_fleche_using_subcommand query" -l latest -d 'Only the most recent one'
complete -c fleche -n "__fish_fleche_using_subcommand query" -l oldest -d 'Only the oldest one'
complete -c fleche -n "__fish_fleche_using_subcommand query" -l only -d 'There must be exactly one, else the answer is no'
complete -c fleche -n "__fish_fleche_using_subcommand query" -s q -l quiet -d 'Say nothing but errors'
complete -c fleche -n "__fish_fleche_using_subcommand query" -s v -l verbose -d 'Say what was recognised, replayed and stored'
complete -c fleche -n "__fish_fleche_using_subcommand query" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleche -n "__fish_fleche_using_subcommand table" -l columns -d 'Show these columns, separated by commas: built-in ones, tag.NAME, arg.N, env.NAME, tag.*, arg.*' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l format -d 'How to print [default: table on a terminal, tsv elsewhere]' -r -f -a "table\t'With borders, for people'
json\t'An array of objects'
jsonl\t'An object a line'
csv\t'Comma-separated'
tsv\t'Tab-separated'
markdown\t'A table for documents'"
complete -c fleche -n "__fish_fleche_using_subcommand table" -l name -d 'Only commands whose name matches' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l arg -d 'Only calls with an argument that matches; N counts from 0, the command itself' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -s t -l tag -d 'Only calls with this tag, or with this value of it' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -s p -l project -d 'The same as --tag project=NAME' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l cwd -d 'Only calls from this working directory' -r -F
complete -c fleche -n "__fish_fleche_using_subcommand table" -l exit -d 'Only calls with this exit code' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l since -d 'Only calls that started then or later: a date, a time, or how long ago, as in `2h`' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l until -d 'Only calls that started before that' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l longer -d 'Only calls that took at least this long' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l input -d 'Only calls that looked at this path, and saw this value there' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l output -d 'Only calls that wrote this path' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l value -d 'Only calls that printed or wrote this value' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l grade -d 'Only calls whose inputs are known in this way' -r -f -a "traced\t''
declared\t''
pure\t''"
complete -c fleche -n "__fish_fleche_using_subcommand table" -l where -d 'Only calls for which this SQL expression holds, as in "walltime > 60 and tags ->> \'project\' is null"' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l sort -d 'Order by this column instead of the time: numbers and times from the largest, text from A' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l limit -d 'At most this many' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l skip -d 'Pass over this many' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l unique -d 'Only the first call of each value of this column' -r
complete -c fleche -n "__fish_fleche_using_subcommand table" -l color -d 'Whether to print in colour [default: auto, on a terminal]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c fleche -n "__fish_fleche_using_subcommand table" -l args -d 'Show the arguments too, a column each'
complete -c fleche -n "__fish_fleche_using_subcommand table" -l results -d 'Show what came out too: digests and sizes of the streams, the number of output files'
complete -c fleche -n "__fish_fleche_using_subcommand table" -l reverse -d 'The other way round'
complete -c fleche -n "__fish_fleche_using_subcommand table" -l latest -d 'Only the most recent one'
complete -c fleche -n "__fish_fleche_using_subcommand table" -l oldest -d 'Only the oldest one'
complete -c fleche -n "__fish_fleche_using_subcommand table" -l only -d 'There must be exactly one, else the answer is no'
complete -c fleche -n "__fish_fleche_using_subcommand table" -s q -l quiet -d 'Say nothing but errors'
complete -c fleche -n "__fish_fleche_using_subcommand table" -s v -l verbose -d 'Say what was recognised, replayed and stored'
complete -c fleche -n "__fish_fleche_using_subcommand table" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleche -n "__fish_fleche_using_subcommand show" -l color -d 'Whether to print in colour [default: auto, on a terminal]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c fleche -n "__fish_fleche_using_subcommand show" -l json -d 'Print a JSON object'
complete -c fleche -n "__fish_fleche_using_subcommand show" -s q -l quiet -d 'Say nothing but errors'
complete -c fleche -n "__fish_fleche_using_subcommand show" -s v -l verbose -d 'Say what was recognised, replayed and stored'
complete -c fleche -n "__fish_fleche_using_subcommand show" -s h -l help -d 'Print help'
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l streams -d 'How standard output and error of the run are connected: as here, to one open file, or to two' -r -f -a "seen\t''
one\t''
two\t''"
complete -c fleche -n "__fish_fleche_using_subcommand digest" -s i -l input -d 'A file, folder or glob that the command reads' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -s x -l exclude -d 'Leave out of folders and globs what matches' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -s o -l output -d 'A file, glob or `DIR/` that the command writes' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l env-mode -d 'Which variables count: all but the volatile ones, only those of --env, or those and nothing else is seen' -r -f -a "all\t''
listed\t''
strict\t''"
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l env -d 'A variable that counts, and may be recorded in clear' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l ignore-env -d 'A variable that does not count' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l require-env -d 'A variable without which nothing is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l ignore-arg -d 'An argument that does not count' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l require-arg -d 'An argument without which nothing is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l redact-arg -d 'An argument that counts but is never recorded in clear' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l program -d 'What of the program counts: its path and content, its path, or its name' -r -f -a "content\t''
path\t''
name\t''"
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l probe -d 'A shell command whose output counts, such as \'node --version\'' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l revision -d 'Counts as it stands: change it to forget all that was recorded before' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l stdin-from -d 'Take standard input from a file, or from a value or call that is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l color -d 'Whether to print in colour [default: auto, on a terminal]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l json -d 'Print a JSON object'
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l gitignore -d 'Leave out of folders and globs what the ignore files of git name, tracked or not'
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l pure -d 'The command reads only its arguments, the files that they name and counted standard input, and writes only its streams'
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l no-cwd -d 'The working directory does not count'
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l stdin -d 'Standard input is input: it is read to its end, counted and given to the command'
complete -c fleche -n "__fish_fleche_using_subcommand digest" -l no-stdin -d 'Standard input is not input: the command gets /dev/null'
complete -c fleche -n "__fish_fleche_using_subcommand digest" -s q -l quiet -d 'Say nothing but errors'
complete -c fleche -n "__fish_fleche_using_subcommand digest" -s v -l verbose -d 'Say what was recognised, replayed and stored'
complete -c fleche -n "__fish_fleche_using_subcommand digest" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l streams -d 'How standard output and error of the run are connected: as here, to one open file, or to two' -r -f -a "seen\t''
one\t''
two\t''"
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l cache-exit -d 'Store and replay runs that end with these exit codes too, as in `1,2`' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l ttl -d 'Do not replay a call that is older' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l stale -d 'Replay a call that is older than --ttl by up to this, and run the command again in the background' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l failure-ttl -d 'Do not replay a call with a non-zero exit code that is older' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -s i -l input -d 'A file, folder or glob that the command reads' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -s x -l exclude -d 'Leave out of folders and globs what matches' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -s o -l output -d 'A file, glob or `DIR/` that the command writes' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l env-mode -d 'Which variables count: all but the volatile ones, only those of --env, or those and nothing else is seen' -r -f -a "all\t''
listed\t''
strict\t''"
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l env -d 'A variable that counts, and may be recorded in clear' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l ignore-env -d 'A variable that does not count' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l require-env -d 'A variable without which nothing is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l ignore-arg -d 'An argument that does not count' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l require-arg -d 'An argument without which nothing is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l redact-arg -d 'An argument that counts but is never recorded in clear' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l program -d 'What of the program counts: its path and content, its path, or its name' -r -f -a "content\t''
path\t''
name\t''"
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l probe -d 'A shell command whose output counts, such as \'node --version\'' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l revision -d 'Counts as it stands: change it to forget all that was recorded before' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l stdin-from -d 'Take standard input from a file, or from a value or call that is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l color -d 'Whether to print in colour [default: auto, on a terminal]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l json -d 'Print a JSON object'
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l gitignore -d 'Leave out of folders and globs what the ignore files of git name, tracked or not'
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l pure -d 'The command reads only its arguments, the files that they name and counted standard input, and writes only its streams'
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l no-cwd -d 'The working directory does not count'
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l stdin -d 'Standard input is input: it is read to its end, counted and given to the command'
complete -c fleche -n "__fish_fleche_using_subcommand explain" -l no-stdin -d 'Standard input is not input: the command gets /dev/null'
complete -c fleche -n "__fish_fleche_using_subcommand explain" -s q -l quiet -d 'Say nothing but errors'
complete -c fleche -n "__fish_fleche_using_subcommand explain" -s v -l verbose -d 'Say what was recognised, replayed and stored'
complete -c fleche -n "__fish_fleche_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l streams -d 'How standard output and error of the run are connected: as here, to one open file, or to two' -r -f -a "seen\t''
one\t''
two\t''"
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l cache-exit -d 'Store and replay runs that end with these exit codes too, as in `1,2`' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l ttl -d 'Do not replay a call that is older' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l stale -d 'Replay a call that is older than --ttl by up to this, and run the command again in the background' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l failure-ttl -d 'Do not replay a call with a non-zero exit code that is older' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -s i -l input -d 'A file, folder or glob that the command reads' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -s x -l exclude -d 'Leave out of folders and globs what matches' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -s o -l output -d 'A file, glob or `DIR/` that the command writes' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l env-mode -d 'Which variables count: all but the volatile ones, only those of --env, or those and nothing else is seen' -r -f -a "all\t''
listed\t''
strict\t''"
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l env -d 'A variable that counts, and may be recorded in clear' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l ignore-env -d 'A variable that does not count' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l require-env -d 'A variable without which nothing is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l ignore-arg -d 'An argument that does not count' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l require-arg -d 'An argument without which nothing is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l redact-arg -d 'An argument that counts but is never recorded in clear' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l program -d 'What of the program counts: its path and content, its path, or its name' -r -f -a "content\t''
path\t''
name\t''"
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l probe -d 'A shell command whose output counts, such as \'node --version\'' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l revision -d 'Counts as it stands: change it to forget all that was recorded before' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l stdin-from -d 'Take standard input from a file, or from a value or call that is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l color -d 'Whether to print in colour [default: auto, on a terminal]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l gitignore -d 'Leave out of folders and globs what the ignore files of git name, tracked or not'
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l pure -d 'The command reads only its arguments, the files that they name and counted standard input, and writes only its streams'
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l no-cwd -d 'The working directory does not count'
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l stdin -d 'Standard input is input: it is read to its end, counted and given to the command'
complete -c fleche -n "__fish_fleche_using_subcommand contains" -l no-stdin -d 'Standard input is not input: the command gets /dev/null'
complete -c fleche -n "__fish_fleche_using_subcommand contains" -s q -l quiet -d 'Say nothing but errors'
complete -c fleche -n "__fish_fleche_using_subcommand contains" -s v -l verbose -d 'Say what was recognised, replayed and stored'
complete -c fleche -n "__fish_fleche_using_subcommand contains" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleche -n "__fish_fleche_using_subcommand call" -l streams -d 'How standard output and error of the run are connected: as here, to one open file, or to two' -r -f -a "seen\t''
one\t''
two\t''"
complete -c fleche -n "__fish_fleche_using_subcommand call" -s i -l input -d 'A file, folder or glob that the command reads' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -s x -l exclude -d 'Leave out of folders and globs what matches' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -s o -l output -d 'A file, glob or `DIR/` that the command writes' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -l env-mode -d 'Which variables count: all but the volatile ones, only those of --env, or those and nothing else is seen' -r -f -a "all\t''
listed\t''
strict\t''"
complete -c fleche -n "__fish_fleche_using_subcommand call" -l env -d 'A variable that counts, and may be recorded in clear' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -l ignore-env -d 'A variable that does not count' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -l require-env -d 'A variable without which nothing is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -l ignore-arg -d 'An argument that does not count' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -l require-arg -d 'An argument without which nothing is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -l redact-arg -d 'An argument that counts but is never recorded in clear' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -l program -d 'What of the program counts: its path and content, its path, or its name' -r -f -a "content\t''
path\t''
name\t''"
complete -c fleche -n "__fish_fleche_using_subcommand call" -l probe -d 'A shell command whose output counts, such as \'node --version\'' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -l revision -d 'Counts as it stands: change it to forget all that was recorded before' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -l stdin-from -d 'Take standard input from a file, or from a value or call that is stored' -r
complete -c fleche -n "__fish_fleche_using_subcommand call" -l color -d 'Whether to print in colour [default: auto, on a terminal]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c fleche -n "__fish_fleche_using_subcommand call" -l gitignore -d 'Leave out of folders and globs what the ignore files of git name, tracked or not'
complete -c fleche -n "__fish_fleche_using_subcommand call" -l pure -d 'The command reads only its arguments, the files that they name and counted standard input, and writes only its streams'
complete -c fleche -n "__fish_fleche_using_subcommand call" -l no-cwd -d 'The working directory does not count'
complete -c fleche -n "__fish_fleche_using_subcommand call" -l stdin -d 'Standard input is input: it is read to its end, counted and given to the command'
complete -c fleche -n "__fish_fleche_using_subcommand call" -l no-stdin -d 'Standard input is not input: the command gets /dev/null'
complete -c fleche -n "__fish_fleche_using_subcommand call" -s q -l quiet -d 'Say nothing but errors'
complete -c fleche -n "__fish_fleche_using_subcommand call" -s v -l verbose -d 'Say what was recognised, replayed and stored'
complete -c fleche -n "__fish_fleche_using_subcommand call" -s h -l help -d 'Print help (see more with \'--help\')'
