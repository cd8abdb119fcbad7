/** `czctl completion SHELL`: scripts that ask czctl itself (yargs' `--get-yargs-completions`) for the next word. */
import type { Program } from "../context.js";
import { print } from "../output.js";

const SCRIPTS = {
  bash: `# czctl completion for bash: eval "$(czctl completion bash)", in ~/.bashrc
_czctl_complete() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(SHELL=/bin/bash czctl --get-yargs-completions "\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _czctl_complete czctl`,
  zsh: `#compdef czctl
# czctl completion for zsh: eval "$(czctl completion zsh)", in ~/.zshrc after compinit
_czctl_complete() {
  local -a reply
  reply=("\${(@f)$(SHELL=/bin/zsh czctl --get-yargs-completions "\${(@)words[1,CURRENT]}" 2>/dev/null)}")
  _describe 'values' reply || _files
}
compdef _czctl_complete czctl`,
  fish: `# czctl completion for fish: czctl completion fish > ~/.config/fish/completions/czctl.fish
function __czctl_complete
  SHELL=/bin/bash czctl --get-yargs-completions (commandline -opc) (commandline -ct) 2>/dev/null
end
complete -c czctl -a '(__czctl_complete)'`,
} as const;

export function addCompletionCommand(program: Program): void {
  program.command(
    "completion <shell>",
    "Print a completion script for bash, zsh or fish",
    y => y.positional("shell", { choices: ["bash", "zsh", "fish"] as const, demandOption: true }),
    ({ shell }) => print(SCRIPTS[shell]),
  );
}
