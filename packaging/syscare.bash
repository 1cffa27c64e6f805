# bash completion for syscare: the program itself knows its commands, and the
# patches that are installed.
_syscare() {
    local cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]:0:COMP_CWORD}")
    if [[ $cur == -* ]]; then
        words+=("$cur")
    fi
    mapfile -t COMPREPLY < <(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null | sed 's/:.*//')" -- "$cur")
}
complete -o bashdefault -o default -F _syscare syscare
