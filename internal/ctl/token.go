package ctl

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/enrol"
)

func tokenCommand(host Host) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "create, list and revoke tokens by which hosts can join",
		Long: `Token creates, lists and revokes the tokens of this host, by which other hosts can
join its cluster.`,
		Example: "  vxlanctl token create\n  vxlanctl token ls",
		Args:    subcommandArg,
		RunE:    printHelp,
	}
	cmd.AddCommand(tokenCreateCommand(host), tokenListCommand(host), tokenRevokeCommand(host))
	return cmd
}

func tokenCreateCommand(host Host) *cobra.Command {
	var opts tokenOptions
	ttl := enrol.DefaultTTL
	cmd := &cobra.Command{
		Use:   "create",
		Short: "create a token, and print the command that lets a host in by it",
		Long: `Create makes a token that is good for one host. This host keeps only a hash of it.
While there are tokens, the agent (vxland) listens for joining hosts, on TCP port
7949 or join_port of vxland.toml.`,
		Example: `  vxlanctl token create
  vxlanctl token create --ttl 10m
  vxlanctl token create --format '{{.Token}}'`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := opts.printer(cmd, "token create", ttl)
			if err != nil {
				return err
			}
			token, err := host.CreateToken(ttl)
			if err != nil {
				return withAction("create token", err)
			}
			return opts.print(p, cmd.ErrOrStderr(), token, ttl)
		},
	}
	opts.AddFlags(cmd)
	cmd.Flags().DurationVar(&ttl, "ttl", ttl, "how long the token is good for")
	return cmd
}

// tokenOptions are how a new token is printed.
type tokenOptions struct{ output.Options }

// AddFlags adds the flags of a subcommand that prints a new token.
func (o *tokenOptions) AddFlags(cmd *cobra.Command) {
	o.AddStreamFlags(cmd)
	cmd.Flags().BoolVarP(&o.Quiet, "quiet", "q", false, "print only the token")
}

// printer checks what was typed.
func (o *tokenOptions) printer(cmd *cobra.Command, name string, ttl time.Duration) (*output.Printer, error) {
	if err := enrol.CheckTTL(ttl); err != nil {
		return nil, usageError(fmt.Errorf("%s: --ttl: %w", name, err))
	}
	return o.StreamOf(cmd, newToken{})
}

// newToken is a token that was just made.
type newToken struct {
	Token   string    `json:"token"`
	Command string    `json:"command"` // which lets a host in
	Expires time.Time `json:"expires"`
}

// print prints the command that lets a host in, alone on stdout, and to notes what to do with it.
func (o *tokenOptions) print(p *output.Printer, notes io.Writer, token string, ttl time.Duration) error {
	made := newToken{Token: token, Command: "vxlanctl join " + token, Expires: time.Now().Add(ttl).Round(time.Second)}
	return p.Report(made, func(out io.Writer) error {
		text := made.Command
		if o.Quiet {
			text = token
		} else {
			const format = "Type this on the host that is to join, as root, within %s. It is good for one host:\n\n"
			output.Fprintf(notes, format, shortDuration(ttl))
		}
		_, err := output.Fprintln(out, text)
		return err
	})
}

func tokenListCommand(host Host) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "list this host's tokens",
		Long: `Ls lists the tokens of this host: until when they are good, and which host has
used one. A token stays in the list for a day after it has expired.`,
		Example: `  vxlanctl token ls
  vxlanctl token ls --format json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				tokens, err := host.Tokens()
				if err != nil {
					return fmt.Errorf("list tokens: %w", err)
				}
				return output.Listing[enrol.Info]{Key: "tokens", Columns: tokenColumns, Rows: tokens}.Print(p)
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(tokenColumns))
	return cmd
}

var tokenColumns = []output.Column[enrol.Info]{
	{Heading: "TOKEN", Text: func(i enrol.Info) string { return i.ID }},
	{Heading: "STATE", Text: tokenState},
	{Heading: "EXPIRES", Text: func(i enrol.Info) string {
		if i.Left == 0 {
			return "expired"
		}
		return "in " + i.Left.Round(time.Second).String()
	}},
	{Heading: "USED BY", Text: func(i enrol.Info) string { return cmp.Or(i.UsedBy, "-") }, Shrinks: true},
}

func tokenState(i enrol.Info) string {
	ago := i.UsedAgo.Round(time.Second)
	switch {
	case i.Pending:
		return fmt.Sprintf("key given %v ago", ago)
	case i.UsedBy != "":
		return fmt.Sprintf("used %v ago", ago)
	case i.Left == 0:
		return "expired"
	}
	return "unused"
}

func tokenRevokeCommand(host Host) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke TOKEN",
		Short: "make a token worthless",
		Long: `Revoke removes a token: nobody can join by it any more. TOKEN is its ID, as
"vxlanctl token ls" lists it, or the beginning of that.

A host that has joined by the token stays a member. "vxlanctl key rotate --without
HOST" retires it.`,
		Example: "  vxlanctl token revoke 5f0c21aa",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("revoke token: type the ID of one token, as `vxlanctl token ls` lists it")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			tokens, _ := host.Tokens() // nothing is completed without an agent
			var ids []string
			for _, t := range tokens {
				ids = append(ids, t.ID)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := host.RevokeToken(args[0])
			if err != nil {
				return withAction("revoke token "+args[0], err)
			}
			output.Fprintf(cmd.OutOrStdout(), "token %s is revoked\n", info.ID)
			if info.UsedBy != "" {
				output.Fprintf(cmd.ErrOrStderr(), "warning: %s has joined by it, and stays a member\n", info.UsedBy)
			}
			return nil
		},
	}
}
