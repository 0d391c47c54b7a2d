package ctl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/hostsetup"
)

func keyCommand(host Host) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "show which keys hosts use, and change the key on all hosts",
		Long: `Key shows which keys the hosts of the cluster use, and changes the key on all of
them. Keys are shown by a hash.`,
		Example: "  vxlanctl key ls\n  vxlanctl key rotate",
		Args:    subcommandArg,
		RunE:    printHelp,
	}
	cmd.AddCommand(keyListCommand(host), keyRotateCommand(host))
	return cmd
}

func keyListCommand(host Host) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "list which key each host uses",
		Long: `Ls asks the agent (vxland) of each host for its keys. The first key of a host
encrypts what it sends; with the others it only decrypts.`,
		Example: `  vxlanctl key ls
  vxlanctl key ls --format json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				keys, err := hostsetup.AllKeys(host)
				if err != nil {
					return fmt.Errorf("list keys: %w", err)
				}
				return output.Listing[hostsetup.HostKeys]{Key: "hosts", Columns: keyColumns, Rows: keys}.Print(p)
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(keyColumns))
	return cmd
}

var keyColumns = []output.Column[hostsetup.HostKeys]{
	{Heading: "HOST", Text: func(k hostsetup.HostKeys) string { return k.Host.HostName }, Shrinks: true},
	{Heading: "ADDRESS", Text: func(k hostsetup.HostKeys) string {
		if !k.Host.Addr.IsValid() {
			return ""
		}
		return k.Host.Addr.String()
	}},
	{Heading: "ENCRYPTS", Text: func(k hostsetup.HostKeys) string {
		if len(k.Keys) == 0 {
			return "-"
		}
		return k.Keys[0]
	}},
	{Heading: "DECRYPTS", Text: func(k hostsetup.HostKeys) string {
		if len(k.Keys) < 2 {
			return "-"
		}
		return strings.Join(k.Keys[1:], ",")
	}},
	{Heading: "PROBLEM", Text: func(k hostsetup.HostKeys) string {
		if k.Err == nil {
			return "-"
		}
		return k.Err.Error()
	}, Shrinks: true},
}

// rotatedKey is the key that all hosts have.
type rotatedKey struct {
	Key string `json:"key"` // its ID
}

func keyRotateCommand(host Host) *cobra.Command {
	var opts output.Options
	var o hostsetup.RotateOptions
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "change the key on all hosts, without an interruption",
		Long: `Rotate makes a new key and changes all hosts to it, in three steps. All hosts do
each step before the next one begins: they install the new key, they use it, they
remove the old one. The agents (vxland) carry the new key, encrypted with the old
one, and write their own key files.

If a host does not answer, rotate stops and says how to go on. All hosts understand
each other at any time. Type it again to go on, on the same host.

The WireGuard keys of encrypted networks follow by themselves, as if you had typed
"vxlanctl encryption rotate".

With --without a host does not get the new key, and is forgotten. From then on it
can read nothing and speak for nobody, also if it comes back.`,
		Example: `  vxlanctl key rotate
  vxlanctl key rotate --without host-c`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := opts.StreamOf(cmd, rotatedKey{})
			if err != nil {
				return err
			}
			progress := progressOf(cmd, p)
			id, err := hostsetup.Rotate(host, o, reportTo(progress))
			if err != nil {
				return withAction("rotate key", err)
			}
			output.Fprintln(progress, "all hosts have the new key and no other")
			return result{object: rotatedKey{Key: id}, quiet: []string{id}}.print(p)
		},
	}
	opts.AddActionFlags(cmd, "the ID of the new key")
	cmd.Flags().StringArrayVar(&o.Without, "without", nil,
		"a `host` that does not get the new key, and is forgotten; may be repeated")
	hosts := completing(noLimit, func([]string) []string { return knownHosts(host) })
	_ = cmd.RegisterFlagCompletionFunc("without", hosts)
	cmd.Flags().StringVar(&o.To, "to", "", "the ID of the new `key`, which this host has already")
	return cmd
}
