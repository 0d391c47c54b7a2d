package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// runOnTerminal is a program of the scripts: onterminal COMMAND... runs a command on a terminal, and prints what the
// terminal got. What it reads is typed as soon as the command has written something. The command ttyin of testscript
// loses what a program writes last, if it looks at the terminal only after the program has ended.
func runOnTerminal() {
	err := typeAndRead(exec.Command(os.Args[1], os.Args[2:]...))
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(ended.ExitCode())
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "onterminal:", err)
		os.Exit(98)
	}
	os.Exit(0)
}

func typeAndRead(cmd *exec.Cmd) error {
	keys, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	user, program, err := openTerminal()
	if err != nil {
		return err
	}
	defer user.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	program.Close()
	if err != nil {
		return err
	}
	// Linux says EIO once nobody has the terminal any more, and all that was written has been read.
	buf := make([]byte, 4096)
	for {
		n, err := user.Read(buf)
		if _, err := os.Stdout.Write(buf[:n]); err != nil {
			return errors.Join(err, cmd.Wait())
		}
		if errors.Is(err, unix.EIO) {
			return cmd.Wait()
		}
		if err == nil {
			_, err = user.Write(keys)
			keys = nil
		}
		if err != nil {
			return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		}
	}
}

func openTerminal() (user, program *os.File, err error) {
	if user, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, user.Close())
	}
	return user, program, nil
}
