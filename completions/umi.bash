# Completion of umi for bash 4.4 and newer.
_umi_completion() {
    local type value last
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain|unfinished) COMPREPLY+=("$value") last=$type ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_CWORD="$2" \
        _UMI_COMPLETE=bash_complete "$1" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && $last == unfinished ]]; then
        compopt -o nospace
    fi
}

complete -o nosort -F _umi_completion umi
