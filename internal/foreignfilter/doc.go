// Package foreignfilter tells which packets of the networks the firewall rules of other programs
// drop. It follows sample packets through the rules, and touches nothing.
package foreignfilter
