package ctl

import (
	"errors"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
)

// Exit codes of the tool.
const (
	exitError = 1
	exitUsage = 2
)

// exitLevel ends a subcommand that checks something: the exit code is the level, and all has been
// printed that there is to say.
type exitLevel diagnosis.Level

// Error is for those who handle it like other errors.
func (l exitLevel) Error() string { return diagnosis.Level(l).String() }

// levelError makes an error of a level that is not ok.
func levelError(l diagnosis.Level) error {
	if l == diagnosis.OK {
		return nil
	}
	return exitLevel(l)
}

// ExitCode returns the code with which the tool ends.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if level, ok := errors.AsType[exitLevel](err); ok {
		return int(level)
	}
	if _, ok := errors.AsType[output.UsageError](err); ok {
		return exitUsage
	}
	return exitError
}

// IsPrinted tells whether an error needs no line of its own.
func IsPrinted(err error) bool {
	_, ok := errors.AsType[exitLevel](err)
	return ok
}

// usageError marks an error of what was typed.
func usageError(err error) error {
	if err == nil {
		return nil
	}
	return output.UsageError{Err: err}
}

// markUsageErrors makes bad flags and arguments of a command and those below it usage errors.
func markUsageErrors(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	check := cmd.Args
	if check == nil {
		check = cobra.NoArgs
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error { return usageError(check(cmd, args)) }
	for _, sub := range cmd.Commands() {
		markUsageErrors(sub)
	}
}
