package packettrace

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// nft is the program, while it runs.
type nft struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	stderr *bytes.Buffer
}

func startNft(ctx context.Context, args ...string) (*nft, error) {
	n := &nft{cmd: exec.CommandContext(ctx, "nft", args...), stderr: new(bytes.Buffer)}
	n.cmd.Stderr = n.stderr
	n.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true} // Ctrl-C is for this program, which ends it
	n.cmd.Cancel = func() error { return n.cmd.Process.Signal(os.Interrupt) }
	out, err := n.cmd.StdoutPipe()
	if err == nil {
		n.lines = bufio.NewScanner(out)
		n.stdin, err = n.cmd.StdinPipe()
	}
	if err == nil {
		err = n.cmd.Start()
	}
	if errors.Is(err, exec.ErrNotFound) {
		err = errors.New("nft is not installed; install the package nftables")
	}
	if err != nil {
		return nil, fmt.Errorf("trace packets: %w", err)
	}
	return n, nil
}

// Type types commands.
func (n *nft) Type(commands string) error {
	if _, err := io.WriteString(n.stdin, commands); err != nil {
		return fmt.Errorf("trace packets: %w", errors.Join(err, n.Error()))
	}
	return nil
}

// Stop ends the program, and waits until it has ended.
func (n *nft) Stop() {
	_ = n.stdin.Close()
	_ = n.cmd.Process.Signal(os.Interrupt)
	_ = n.cmd.Wait()
}

// Error is what the program complained of. It is called after the program's end.
func (n *nft) Error() error {
	n.Stop()
	if text := strings.TrimSpace(n.stderr.String()); text != "" {
		return errors.New(text)
	}
	return nil
}
