package ctl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// noLimit is of a command that takes any number of arguments.
const noLimit = -1

// takes wants so many arguments, and says otherwise how the command is typed.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		name := commandName(cmd)
		how := "type `" + cmd.Use + "`"
		if cmd.HasParent() {
			how = "type `" + cmd.Parent().CommandPath() + " " + cmd.Use + "`"
		}
		switch {
		case len(args) < least:
			return fmt.Errorf("%s: an argument is missing: %s; `%s --help` has examples", name, how, cmd.CommandPath())
		case most != noLimit && len(args) > most:
			return fmt.Errorf("%s: the argument %q is one too many: %s", name, args[most], how)
		}
		return nil
	}
}

// oneArg wants one argument, and says otherwise what to type.
func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s", what)
		}
		return nil
	}
}

// commandName is how errors name a command.
func commandName(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return cmd.Name()
	}
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// flagError names the command, and where its flags are listed.
func flagError(cmd *cobra.Command, err error) error {
	hint := fmt.Sprintf("`%s --help` lists its flags", cmd.CommandPath())
	if !cmd.HasParent() {
		return fmt.Errorf("%w; %s", err, hint)
	}
	return fmt.Errorf("%s: %w; %s", commandName(cmd), err, hint)
}

// helpArgs refuses what is no command.
func helpArgs(cmd *cobra.Command, args []string) error {
	found, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("help: there is no command %q; `%s` lists all", strings.Join(args, " "), found.Root().Name())
	}
	return nil
}
