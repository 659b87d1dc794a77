function _umi_completion
    set -l token (commandline -ct)
    set -l option (string match -r -- '^--[^=]+=' $token)
    for line in (env COMP_WORDS=(commandline -cp | string collect) \
            _UMI_COMPLETE=fish_complete umi 2>/dev/null)
        set -l item (string split -m 1 , -- $line)
        switch $item[1]
            case plain
                printf '%s\n' "$option$item[2]"
            case file
                for path in (__fish_complete_path "$item[2]")
                    printf '%s\n' "$option$path"
                end
            case dir
                for path in (__fish_complete_directories "$item[2]")
                    printf '%s\n' "$option$path"
                end
        end
    end
end

complete --no-files --command umi --arguments '(_umi_completion)'
