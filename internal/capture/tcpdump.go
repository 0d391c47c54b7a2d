package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// listener is a tcpdump that runs.
type listener struct {
	iface   string
	filter  string
	packets *pcapgo.Reader
	cmd     *exec.Cmd
	stderr  *bytes.Buffer
	ipOnly  bool // its packets have no Ethernet header
}

// listen starts tcpdump, and returns as soon as it captures: it writes the head of a file then.
func listen(ctx context.Context, iface, filter string) (*listener, error) {
	l := &listener{iface: iface, filter: filter, stderr: new(bytes.Buffer)}
	l.cmd = exec.CommandContext(ctx, "tcpdump", "-n", "-U", "--immediate-mode", "-i", iface, "-w", "-", "--", filter)
	l.cmd.Cancel = func() error { return l.cmd.Process.Signal(os.Interrupt) } // it prints what it has
	l.cmd.Stderr = l.stderr
	// Ctrl-C in a terminal is for this program, which ends it.
	l.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	pipe, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("capture on %s: %w", iface, err)
	}
	if err := l.cmd.Start(); err != nil {
		return nil, fmt.Errorf("capture on %s: %w", iface, notInstalled(err))
	}
	if l.packets, err = pcapgo.NewReader(pipe); err != nil {
		return nil, l.endError(err)
	}
	return l, nil
}

// endError says why tcpdump ended.
func (l *listener) endError(err error) error {
	_ = l.cmd.Wait() // its last line says more than its exit code
	lines := strings.Split(strings.TrimSpace(l.stderr.String()), "\n")
	if last := lines[len(lines)-1]; last != "" {
		err = errors.New(last)
	}
	return fmt.Errorf("capture on %s: %w", l.iface, err)
}

// Close ends tcpdump.
func (l *listener) Close() {
	_ = l.cmd.Process.Signal(os.Interrupt)
	_ = l.cmd.Wait()
}

func notInstalled(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return ErrNotInstalled
	}
	return err
}

// SyntaxError is a filter that tcpdump does not understand.
type SyntaxError struct{ Filter, Reason string }

// Error quotes tcpdump.
func (e SyntaxError) Error() string { return fmt.Sprintf("filter %q: %s", e.Filter, e.Reason) }

// compile returns a function that tells whether a frame passes a filter.
func compile(ctx context.Context, filter string) (func([]byte) bool, error) {
	if filter == "" {
		return func([]byte) bool { return true }, nil
	}
	cmd := exec.CommandContext(ctx, "tcpdump", "-ddd", "-y", "EN10MB", "--", filter)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return nil, SyntaxError{filter, strings.TrimPrefix(strings.TrimSpace(stderr.String()), "tcpdump: ")}
	}
	if err != nil {
		return nil, fmt.Errorf("compile filter: %w", notInstalled(err))
	}
	program, err := parseProgram(string(text))
	if err != nil {
		return nil, fmt.Errorf("compile filter %q: %w", filter, err)
	}
	return func(frame []byte) bool {
		n, err := program.Run(frame)
		return err == nil && n > 0
	}, nil
}

// parseProgram reads what `tcpdump -ddd` prints: the number of instructions, then one a line.
func parseProgram(text string) (*bpf.VM, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var program []bpf.Instruction
	for _, line := range lines[1:] {
		var raw bpf.RawInstruction
		if _, err := fmt.Sscan(line, &raw.Op, &raw.Jt, &raw.Jf, &raw.K); err != nil {
			return nil, fmt.Errorf("instruction %q: %w", line, err)
		}
		program = append(program, raw.Disassemble())
	}
	return bpf.NewVM(program)
}
