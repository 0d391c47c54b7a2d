package ctl

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/ctl/output"
)

// maxSecretLine is far more than a token has, in bytes.
const maxSecretLine = 4096

// readSecret reads a line. Who types it on a terminal is asked for it, and it is not shown.
func readSecret(ctx context.Context, in io.Reader, ask io.Writer, prompt string) (string, error) {
	show, isTerminal := hideInput(in)
	if !isTerminal {
		return readLine(in)
	}
	output.Fprintf(ask, "%s", prompt)
	defer output.Fprintln(ask) // the newline that was typed was not shown either
	defer show()
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := readLine(in)
		read <- result{line, err}
	}()
	select {
	case r := <-read:
		return r.line, r.err
	case <-ctx.Done(): // the reader ends with the process
		return "", errors.New("interrupted")
	}
}

func readLine(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, maxSecretLine)).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return line, err
}

// hideInput makes a terminal show no more of what is typed, until show is called.
func hideInput(in io.Reader) (show func(), isTerminal bool) {
	f, ok := in.(*os.File)
	if !ok {
		return nil, false
	}
	before, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, false
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	_ = unix.IoctlSetTermios(int(f.Fd()), unix.TCSETSF, &hidden) // at worst it is shown
	return func() { _ = unix.IoctlSetTermios(int(f.Fd()), unix.TCSETSF, before) }, true
}
