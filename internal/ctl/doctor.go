package ctl

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/doctor"
)

// Patient is what doctor examines.
type Patient interface {
	// Diagnose makes all checks on this host. Where something is lost on the way to other hosts, it
	// asks their agents for the cause.
	Diagnose(ctx context.Context) doctor.Diagnosis
	// DiagnoseHost asks the agent of another host.
	DiagnoseHost(name string) (doctor.Diagnosis, error)
	// DiagnoseAll asks the agents of all hosts.
	DiagnoseAll(ctx context.Context) (doctor.Diagnosis, error)
	// UpgradeHost finds out by what an upgrade of Podman or netavark would concern the host.
	UpgradeHost(ctx context.Context) (doctor.UpgradeHost, error)
}

type doctorOptions struct {
	output.Options
	fix, all bool
	upgrade  string // "podman=6"
}

func doctorCommand(host Host) *cobra.Command {
	var opts doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor [NETWORK|HOST]",
		Short: "find out what is wrong, and how to mend it",
		Long: `Doctor looks for what is wrong with this host's networks: devices, addresses,
routes, forwarding entries and firewall rules against what the networks need,
other programs' rules that drop packets, the tunnels to other hosts, the agent,
container names, and what hosts have set up differently.

It prints the cause first, a line each: code, level, host, network and what is
wrong. Below it are what was observed, and the commands that mend it. "vxlanctl
explain CODE" says more. On a healthy host it prints one line.

It changes nothing, and works without an agent as far as it can. If packets to
another host are lost, it asks that host's agent for a cause there. With HOST it
makes the checks on that host, with --all on all hosts that the agent knows.

It measures: it pings other hosts, and on each network a container pings one of
each other host and sends to its port 9, where nobody listens.

With --fix it does what "vxlanctl reload" does if that mends something that was
found. Then it checks again, and prints what is left.

With --for it says instead what another version of Podman or netavark changes for
networks, and what of it this host would notice.

The exit code is 0 if nothing was found, 1 for warnings, 2 for failures, and 3 if
something could not be found out. With --filter it is that of what passes the filter.`,
		Example: `  vxlanctl doctor
  vxlanctl doctor mynet
  vxlanctl doctor host-b
  vxlanctl doctor --all --format json
  vxlanctl doctor --filter level=failure --filter network=mynet
  vxlanctl doctor --fix
  vxlanctl doctor --for podman=6`,
		Args: takes(0, 1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return networksAndHostNames(host, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd, host, args) },
	}
	opts.AddReportFlags(cmd)
	opts.AddFilterFlag(cmd, output.Headings(findingColumns))
	cmd.Flags().BoolVar(&opts.fix, "fix", false, "reload if that mends something, and check again")
	cmd.Flags().BoolVar(&opts.all, "all", false, "make the checks on all hosts that the agent knows")
	cmd.Flags().StringVar(&opts.upgrade, "for", "",
		"say what another version changes for networks: `PROGRAM=VERSION` of podman or netavark")
	programs := []string{string(doctor.UpgradedPodman) + "=", string(doctor.UpgradedNetavark) + "="}
	noSpace := cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(programs, noSpace))
	return cmd
}

// networksAndHostNames completes what is typed, as far as the agent answers.
func networksAndHostNames(host StatusSource, typed []string) (names []string) {
	r, err := host.Status()
	if err != nil || len(typed) > 0 {
		return nil
	}
	for _, n := range r.Networks {
		names = append(names, n.Name)
	}
	for _, name := range knownHosts(host) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (o doctorOptions) run(cmd *cobra.Command, host Host, args []string) error {
	if o.upgrade != "" {
		return o.Run(cmd, func(p *output.Printer) error { return printUpgrade(cmd.Context(), p, host, o.upgrade) })
	}
	if err := o.check(args); err != nil {
		return usageError(err)
	}
	if host.CheckRoot() != nil {
		output.Fprintln(cmd.ErrOrStderr(), "# only root can check all of it; what others cannot see is unknown below")
	}
	level := diagnosis.OK
	err := o.Run(cmd, func(p *output.Printer) error {
		d, err := o.diagnose(cmd.Context(), host, args)
		if err != nil {
			return unknownError{fmt.Errorf("doctor: %w", err)}
		}
		d = wantedFindings(p, d)
		level, d.Possible = d.Level, nil // which count only where something is lost
		return p.Report(d, func(out io.Writer) error { return printDiagnosis(p, out, d) })
	})
	if err != nil {
		return err
	}
	return levelError(level)
}

// findingColumns are what findings are filtered by.
var findingColumns = []output.Column[diagnosis.Finding]{
	{Heading: "CODE", Text: func(f diagnosis.Finding) string { return string(f.Code) }},
	{Heading: "LEVEL", Text: func(f diagnosis.Finding) string { return f.Level.String() }},
	{Heading: "HOST", Text: func(f diagnosis.Finding) string { return f.Host }},
	{Heading: "NETWORK", Text: func(f diagnosis.Finding) string { return f.Network }},
}

// wantedFindings leaves out findings that the user filters out. The exit code is of the others.
func wantedFindings(p *output.Printer, d doctor.Diagnosis) doctor.Diagnosis {
	if p.IsFiltered() {
		d.Findings = slices.DeleteFunc(slices.Clone(d.Findings), func(f diagnosis.Finding) bool {
			return !output.Wants(p, findingColumns, f)
		})
		d.Level = diagnosis.Worst(d.Findings)
	}
	return d
}

func (o doctorOptions) check(args []string) error {
	if o.all && len(args) > 0 {
		return fmt.Errorf("doctor: --all and %q exclude each other", args[0])
	}
	if o.fix && o.all {
		return fmt.Errorf("doctor: --fix mends this host only; leave out --all")
	}
	return nil
}

// diagnose makes the checks that were asked for. What is typed is a network of this host, or else
// another host.
func (o doctorOptions) diagnose(ctx context.Context, host Host, args []string) (doctor.Diagnosis, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if o.all {
		return host.DiagnoseAll(ctx)
	}
	d := host.Diagnose(ctx)
	if len(args) > 0 && !slices.Contains(d.Networks, args[0]) && !slices.Contains(d.Hosts, args[0]) {
		if o.fix {
			return d, fmt.Errorf("%q is no network with containers here, and --fix mends this host only", args[0])
		}
		other, err := host.DiagnoseHost(args[0])
		if err != nil {
			return d, fmt.Errorf("%q is no network with containers here, nor a host that answers: %w", args[0], err)
		}
		return other, nil
	}
	if o.fix && reloadMends(d) {
		if _, err := host.Reload(); err != nil {
			return d, fmt.Errorf("reload: %w", err)
		}
		d = host.Diagnose(ctx)
	}
	if len(args) > 0 && slices.Contains(d.Networks, args[0]) {
		d = d.OfNetwork(args[0])
	}
	return d, nil
}

// reloadMends tells whether a reload mends something that was found on this host.
func reloadMends(d doctor.Diagnosis) bool {
	return slices.ContainsFunc(d.Findings, func(f diagnosis.Finding) bool {
		return slices.Contains(d.Hosts, f.Host) && slices.Contains(f.Mend, "vxlanctl reload")
	})
}

// printDiagnosis prints what was found: each finding as a line, and its evidence and mend below.
func printDiagnosis(p *output.Printer, out io.Writer, d doctor.Diagnosis) error {
	var b strings.Builder
	for _, f := range d.Findings {
		if p.Quiet {
			output.Fprintln(&b, f.Code)
			continue
		}
		writeFinding(p, &b, f)
	}
	if len(d.Findings) == 0 && !p.Quiet {
		if p.IsFiltered() {
			b.WriteString("nothing that was found passes the filter\n")
			_, err := io.WriteString(out, b.String())
			return err
		}
		output.Fprintf(&b, "no fault found: %d checks on %s\n", d.Checks, networksAndHosts(d))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func networksAndHosts(d doctor.Diagnosis) string {
	text := output.Count(len(d.Networks), "network")
	if len(d.Hosts) > 1 {
		text += " and " + output.Count(len(d.Hosts), "host")
	}
	return text
}

func writeFinding(p *output.Printer, b *strings.Builder, f diagnosis.Finding) {
	colour := output.Red
	if f.Level != diagnosis.Failure {
		colour = output.Yellow
	}
	level, about := f.Level.String(), f.Host
	if f.Network != "" {
		about += " " + f.Network
	}
	head := p.Wrap("", "  ", fmt.Sprintf("%s %s %s: %s", f.Code, level, about, f.Summary))
	b.WriteString(strings.Replace(head, level, string(p.Paint(colour, level)), 1))
	for _, line := range f.Evidence {
		b.WriteString(p.Wrap("    seen: ", "          ", line))
	}
	// Commands are lines of their own, also if they are long: people copy them.
	for _, line := range f.Mend {
		output.Fprintf(b, "    mend: %s\n", line)
	}
}

// upgradeReport is what an upgrade changes, or what going back to an older version undoes.
type upgradeReport struct {
	Program  doctor.Upgraded        `json:"program"`
	From     string                 `json:"from"`
	To       string                 `json:"to"`
	Concerns int                    `json:"concerns"` // changes that the host notices
	Changes  []doctor.UpgradeChange `json:"changes"`
}

// printUpgrade says what an upgrade changes for networks.
func printUpgrade(ctx context.Context, p *output.Printer, host Host, upgrade string) error {
	name, version, ok := strings.Cut(upgrade, "=")
	program := doctor.Upgraded(name)
	isVersion := version != "" && strings.Trim(version, ".0123456789") == ""
	if !ok || !isVersion || program != doctor.UpgradedPodman && program != doctor.UpgradedNetavark {
		return usageError(fmt.Errorf("doctor: --for %q: type podman=VERSION or netavark=VERSION, such as podman=6", upgrade))
	}
	have, err := host.UpgradeHost(ctx)
	if err != nil {
		return unknownError{fmt.Errorf("doctor: %w", err)}
	}
	report := upgradeReport{Program: program, From: have.Podman, To: version}
	report.Changes = doctor.UpgradeChanges(have, program, version)
	if program == doctor.UpgradedNetavark {
		report.From = have.Netavark
	}
	for _, c := range report.Changes {
		if c.Concerns {
			report.Concerns++
		}
	}
	return p.Report(report, func(out io.Writer) error { return report.print(p, out) })
}

func (r upgradeReport) print(p *output.Printer, out io.Writer) error {
	var b strings.Builder
	if len(r.Changes) == 0 {
		output.Fprintf(&b, "nothing known changes for networks from %s %s to %s\n", r.Program, r.From, r.To)
	} else {
		output.Fprintf(&b, "from %s %s to %s:\n", r.Program, r.From, r.To)
	}
	for _, c := range r.Changes {
		b.WriteString(diagnosis.Wrap("since "+c.Since+": "+c.Text, "  ") + "\n")
		if !c.Concerns {
			b.WriteString("    nothing of it was found on this host\n")
		}
		for _, line := range c.Evidence {
			b.WriteString(p.Wrap("    seen: ", "          ", line))
		}
		for _, line := range c.Mend {
			output.Fprintf(&b, "    mend: %s\n", line)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
