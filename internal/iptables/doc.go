// Package iptables reads what iptables-legacy has, which nft does not list, as filters that
// foreignfilter can follow packets through. It touches nothing.
package iptables
