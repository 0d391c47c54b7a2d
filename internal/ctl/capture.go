package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/capture"
	"vxlan-driver/internal/ctl/output"
)

// Capturer knows where a network's packets pass.
type Capturer interface {
	// CaptureConfig returns a network's devices, and the names of its containers.
	CaptureConfig(network string) (capture.Config, error)
}

// CaptureHost also knows which networks there are.
type CaptureHost interface {
	Capturer
	InventorySource
}

func captureCommand(host CaptureHost) *cobra.Command {
	var file string
	var count int
	cmd := &cobra.Command{
		Use:   "capture NETWORK [FILTER]",
		Short: "record a network's packets, inside and outside of its tunnel",
		Long: `Capture records packets between this host's containers and those of other hosts,
until it is interrupted. Each packet is there twice: as the containers see it (from
the VXLAN device), and as a VXLAN packet (from the interface to the other hosts).
TCP and UDP that eBPF programs pass on do not pass the VXLAN device: they are there
once, as VXLAN packets. Packets between two containers of this host are not recorded.

Of an encrypted network the second interface is the WireGuard device: what is there is
not encrypted yet, or no longer. IP packets that go straight into WireGuard are there
once, as the containers see them, with an Ethernet header of zeros before them. To see
what leaves this host, encrypted: tcpdump -i INTERFACE udp port PORT, with the port
that "vxlanctl encryption status" lists.

FILTER is in the language of tcpdump (pcap-filter(7)), and is about packets as the
containers see them. It selects VXLAN packets by what they carry. Type -- before one
that has a word with a leading hyphen.

Without -o it prints a line a packet. With -o it writes a pcapng file for Wireshark,
in which addresses have the names of their containers. It needs the package tcpdump.`,
		Example: `  vxlanctl capture mynet
  vxlanctl capture mynet -c 20 tcp port 80 and host 10.0.0.2
  vxlanctl capture mynet -o mynet.pcapng
  vxlanctl capture mynet -o - | wireshark -k -i -`,
		Args:              takes(1, noLimit),
		ValidArgsFunction: completing(1, func([]string) []string { return networksHere(host) }),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 {
				return usageError(fmt.Errorf("capture: --count %d: must not be negative", count))
			}
			c, err := host.CaptureConfig(args[0])
			if err != nil {
				return fmt.Errorf("capture: %w", err)
			}
			c.Filter, c.Count = strings.Join(args[1:], " "), count
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, unix.SIGTERM)
			defer stop()
			return runCapture(ctx, cmd, c, file)
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "write a pcapng `FILE`; - is the standard output")
	cmd.Flags().IntVarP(&count, "count", "c", 0, "stop after so many packets")
	return cmd
}

func runCapture(ctx context.Context, cmd *cobra.Command, c capture.Config, file string) error {
	out, finish, err := captureOutput(cmd, file)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	n, err := capture.Run(ctx, c, out)
	err = errors.Join(err, finish())
	if _, bad := errors.AsType[capture.SyntaxError](err); bad {
		return usageError(fmt.Errorf("capture: %w", err))
	}
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	if file != "" {
		output.Fprintf(cmd.ErrOrStderr(), "packets recorded: %d\n", n)
	}
	return nil
}

// captureOutput returns where the capture goes, and what ends it.
func captureOutput(cmd *cobra.Command, file string) (out io.Writer, finish func() error, err error) {
	switch file {
	case "":
		return printPackets(cmd.OutOrStdout())
	case "-":
		return output.Raw(cmd.OutOrStdout()), func() error { return nil }, nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // packets may hold secrets
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}

// printPackets makes tcpdump print what is written, a line a packet.
func printPackets(out io.Writer) (io.Writer, func() error, error) {
	cmd := exec.Command("tcpdump", "-n", "-l", "-r", "-")
	cmd.Stdout = out
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true} // Ctrl-C ends the capture, and this one with it
	pipe, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if errors.Is(err, exec.ErrNotFound) {
		err = capture.ErrNotInstalled
	}
	if err != nil {
		return nil, nil, err
	}
	return pipe, func() error { return errors.Join(pipe.Close(), cmd.Wait()) }, nil
}
