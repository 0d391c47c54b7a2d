package ctl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
)

// Exit codes of the tool.
const (
	exitError = 1
	exitUsage = 2
)

// exitStatus ends a subcommand with an exit code that is not 0. All has been printed that there is
// to say.
type exitStatus int

// Error is for those who handle it like other errors.
func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// unknownError is the error of a subcommand whose exit code is a level: 1 would be a warning.
type unknownError struct{ error }

// Unwrap returns the cause.
func (e unknownError) Unwrap() error { return e.error }

// levelError makes the level the exit code, as monitoring plugins do.
func levelError(l diagnosis.Level) error {
	if l == diagnosis.OK {
		return nil
	}
	return exitStatus(l)
}

// ExitCode returns the code with which the tool ends.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[exitStatus](err); ok {
		return int(status)
	}
	if _, ok := errors.AsType[output.UsageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[unknownError](err); ok {
		return int(diagnosis.Unknown)
	}
	return exitError
}

// IsPrinted tells whether an error needs no line of its own.
func IsPrinted(err error) bool {
	_, ok := errors.AsType[exitStatus](err)
	return ok
}

// PrintError says why the tool ends. All lines of an error but the first are indented, so that none
// that quotes another host looks like a line of the tool's.
func PrintError(out io.Writer, err error) {
	if IsPrinted(err) {
		return
	}
	text := strings.ReplaceAll(strings.TrimSuffix(err.Error(), "\n"), "\n", "\n  ")
	switch {
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		text += "; type it as root"
	case errors.Is(err, agentapi.ErrNotRunning) && strings.HasSuffix(text, agentapi.ErrNotRunning.Error()):
		text += "; `vxlanctl status` says why, and what to do"
	}
	_, _ = io.WriteString(output.Safe(out), "vxlanctl: "+text+"\n") // there is nobody else to tell
}

// withAction adds what was attempted, where no agent could say it.
func withAction(action string, err error) error {
	if errors.Is(err, agentapi.ErrNotRunning) {
		return fmt.Errorf("%s: %w", action, err)
	}
	return err
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
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(flagError(cmd, err)) })
	check := cmd.Args
	if check == nil {
		check = takes(0, 0)
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error { return usageError(check(cmd, args)) }
	for _, sub := range cmd.Commands() {
		markUsageErrors(sub)
	}
}
