package options

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/liveboot/liveboot/pkg/network"
)

// A BondOption is an option of the bonding driver that its netlink interface takes (IFLA_BOND_… of <linux/if_link.h>), as
// Documentation/networking/bonding.rst and drivers/net/bonding/bond_options.c of the kernel have it.
type BondOption struct {
	Name string
	// Kind says how the value is written.
	Kind BondKind
	// Words are the values of a BondWord, by their numbers; either may be written, and the word is what network.Bond then has.
	Words []string
	// Min and Max bound a BondNumber.
	Min, Max int
	// Modes are those in which the driver takes the option; none means all.
	Modes []string
}

// A BondKind is how the value of an option is written.
type BondKind int

// The kinds. A list has commas between its addresses.
const (
	BondNumber BondKind = iota
	BondWord
	BondSwitch // 0 or 1, also written off and on
	BondIPv4List
	BondIPv6List
	BondMAC
	BondLink // the name of a port
)

// maxInt is INT_MAX of the kernel.
const maxInt = 1<<31 - 1

// BondOptions returns every option that Bond takes. Their names are those of the driver's files below /sys/class/net/<bond>/bonding.
func BondOptions() []BondOption {
	modes := []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}
	validate := []string{"none", "active", "backup", "all", "filter", "filter_active", "filter_backup"}
	lacp := []string{"802.3ad"}
	primary := []string{"active-backup", "balance-tlb", "balance-alb"}
	arp := []string{"balance-rr", "active-backup", "balance-xor", "broadcast"}
	return []BondOption{
		{Name: "mode", Kind: BondWord, Words: modes},
		{Name: "active_slave", Kind: BondLink, Modes: primary},
		{Name: "miimon", Max: maxInt},
		{Name: "updelay", Max: maxInt},
		{Name: "downdelay", Max: maxInt},
		{Name: "peer_notif_delay", Max: 300000},
		{Name: "use_carrier", Kind: BondSwitch},
		{Name: "arp_interval", Max: maxInt, Modes: arp},
		{Name: "arp_ip_target", Kind: BondIPv4List},
		{Name: "ns_ip6_target", Kind: BondIPv6List},
		{Name: "arp_validate", Kind: BondWord, Words: validate, Modes: arp},
		{Name: "arp_all_targets", Kind: BondWord, Words: []string{"any", "all"}},
		{Name: "arp_missed_max", Min: 1, Max: 255, Modes: arp},
		{Name: "primary", Kind: BondLink, Modes: primary},
		{Name: "primary_reselect", Kind: BondWord, Words: []string{"always", "better", "failure"}},
		{Name: "fail_over_mac", Kind: BondWord, Words: []string{"none", "active", "follow"}},
		{Name: "xmit_hash_policy", Kind: BondWord, Words: []string{"layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"}},
		{Name: "resend_igmp", Max: 255},
		{Name: "num_grat_arp", Max: 255},
		{Name: "all_slaves_active", Kind: BondSwitch},
		{Name: "min_links", Max: maxInt},
		{Name: "lp_interval", Min: 1, Max: maxInt},
		{Name: "packets_per_slave", Max: 65535, Modes: []string{"balance-rr"}},
		{Name: "lacp_rate", Kind: BondWord, Words: []string{"slow", "fast"}, Modes: lacp},
		{Name: "lacp_active", Kind: BondSwitch, Modes: lacp},
		{Name: "coupled_control", Kind: BondSwitch, Modes: lacp},
		{Name: "broadcast_neighbor", Kind: BondSwitch, Modes: lacp},
		{Name: "ad_select", Kind: BondWord, Words: []string{"stable", "bandwidth", "count", "actor_port_prio"}},
		{Name: "ad_actor_sys_prio", Min: 1, Max: 65535, Modes: lacp},
		{Name: "ad_user_port_key", Max: 1023, Modes: lacp},
		{Name: "ad_actor_system", Kind: BondMAC, Modes: lacp},
		{Name: "tlb_dynamic_lb", Kind: BondSwitch, Modes: []string{"balance-tlb", "balance-alb"}},
	}
}

// Bond reads the value of bond=, <name>[:<ports>[:<options>[:<mtu>]]]. Options are separated by commas; a ";" within one stands for a
// comma. Without a value it is bond0:eth0,eth1:mode=balance-rr, and without ports eth0,eth1, as dracut has it. Of an option that is
// there twice the last one counts.
func Bond(value string) (network.Bond, error) {
	if value == "" {
		value = "bond0:eth0,eth1:mode=balance-rr"
	}
	f, err := split(value)
	if err != nil {
		return network.Bond{}, err
	}
	var m mistakes
	n := len(f)
	f = append(f, make([]string, 4)...)
	if n == 1 {
		f[1] = "eth0,eth1"
	}
	b := network.Bond{Name: m.name("the bond", f[0]), Ports: m.ports(f[0], f[1]), Options: m.bondOptions(f[2]), MTU: m.mtu(f[3])}
	m.end(f, 4)
	if err := m.err(); err != nil {
		return network.Bond{}, err
	}
	return b, nil
}

// bondOptions reads name=value,name=value.
func (m *mistakes) bondOptions(list string) []network.BondOption {
	known := BondOptions()
	var options []network.BondOption
	for word := range strings.SplitSeq(list, ",") {
		if word == "" {
			continue
		}
		name, value, found := strings.Cut(word, "=")
		if name == "num_unsol_na" { // the driver's other name for it
			name = "num_grat_arp"
		}
		i := slices.IndexFunc(known, func(o BondOption) bool { return o.Name == name })
		if i < 0 || !found {
			m.add("%q is no option of a bond: want one of the kernel's bonding.rst, mode=active-backup say", word)
			continue
		}
		canonical, err := known[i].parse(strings.ReplaceAll(value, ";", ","))
		if err != nil {
			m.add("the bond option %q: %w", word, err)
			continue
		}
		options = slices.DeleteFunc(options, func(o network.BondOption) bool { return o.Name == name })
		options = append(options, network.BondOption{Name: name, Value: canonical})
	}
	m.together(options)
	return options
}

func find(options []network.BondOption, name string) string {
	for _, o := range options {
		if o.Name == name {
			return o.Value
		}
	}
	return ""
}

// together complains about options that the driver does not take beside each other.
func (m *mistakes) together(options []network.BondOption) {
	known := BondOptions()
	mode := find(options, "mode")
	if mode == "" {
		mode = known[0].Words[0]
	}
	for _, o := range options {
		i := slices.IndexFunc(known, func(k BondOption) bool { return k.Name == o.Name })
		if modes := known[i].Modes; len(modes) > 0 && !slices.Contains(modes, mode) {
			m.add("the bond option %q does not go with mode=%s: want mode=%s", o.Name, mode, strings.Join(modes, ", "))
		}
	}
	interval, miimon := find(options, "arp_interval"), find(options, "miimon")
	if interval != "" && interval != "0" && miimon != "" && miimon != "0" {
		m.add("the bond options miimon and arp_interval exclude each other: want one of them")
	}
}

// parse returns the value as network.BondOption has it.
func (o BondOption) parse(value string) (string, error) {
	switch o.Kind {
	case BondWord:
		return word(value, o.Words)
	case BondSwitch:
		w, err := word(value, []string{"off", "on"})
		if err != nil {
			return "", fmt.Errorf("want 0 or 1")
		}
		return map[string]string{"off": "0", "on": "1"}[w], nil
	case BondIPv4List, BondIPv6List:
		return o.list(value)
	case BondMAC:
		var m mistakes
		return m.mac(value), m.err()
	case BondLink:
		return value, nameError(value)
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < o.Min || n > o.Max {
		return "", fmt.Errorf("want a number from %d to %d", o.Min, o.Max)
	}
	return strconv.Itoa(n), nil
}

// word returns the one of words that was written, by its name or by its number.
func word(value string, words []string) (string, error) {
	if n, err := strconv.Atoi(value); err == nil && n >= 0 && n < len(words) {
		return words[n], nil
	}
	if !slices.Contains(words, value) {
		return "", fmt.Errorf("want one of %s", strings.Join(words, ", "))
	}
	return value, nil
}

// maxTargets is BOND_MAX_ARP_TARGETS and BOND_MAX_NS_TARGETS.
const maxTargets = 16

// list reads addresses. The "+" that the driver's files in /sys want before each may be there.
func (o BondOption) list(value string) (string, error) {
	var addresses []string
	for text := range strings.SplitSeq(value, ",") {
		a, err := netip.ParseAddr(unbracket(strings.TrimPrefix(text, "+")))
		if err != nil || a.Is4() != (o.Kind == BondIPv4List) || a.Zone() != "" || a.Is4In6() {
			return "", fmt.Errorf("%q: want addresses separated by ;, IPv4 for arp_ip_target and [IPv6] for ns_ip6_target", text)
		}
		addresses = append(addresses, a.String())
	}
	if len(addresses) > maxTargets {
		return "", fmt.Errorf("want at most %d addresses", maxTargets)
	}
	return strings.Join(addresses, ","), nil
}

// Team reads the value of team=, <name>[:<ports>[:<runner>]], as a bond of the same kind, and returns a sentence on that for people.
// Without a value it is team0:eth0,eth1:activebackup, as dracut has it.
func Team(value string) (network.Bond, string, error) {
	if value == "" {
		value = "team0"
	}
	f, err := split(value)
	if err != nil {
		return network.Bond{}, "", err
	}
	var m mistakes
	if len(f) == 1 {
		f = append(f, "eth0,eth1")
	}
	f = append(f, "")
	if f[2] == "" {
		f[2] = "activebackup"
	}
	// teamd(8)'s loadbalance and lacp hash Ethernet, IPv4 and IPv6 addresses unless told otherwise.
	hash := network.BondOption{Name: "xmit_hash_policy", Value: "layer2+3"}
	b := network.Bond{Name: m.name("the team", f[0]), Ports: m.ports(f[0], f[1])}
	switch f[2] {
	case "activebackup":
		b.Options = []network.BondOption{{Name: "mode", Value: "active-backup"}}
	case "roundrobin":
		b.Options = []network.BondOption{{Name: "mode", Value: "balance-rr"}}
	case "broadcast":
		b.Options = []network.BondOption{{Name: "mode", Value: "broadcast"}}
	case "loadbalance":
		b.Options = []network.BondOption{{Name: "mode", Value: "balance-xor"}, hash}
	case "lacp":
		b.Options = []network.BondOption{{Name: "mode", Value: "802.3ad"}, hash}
	default:
		m.add("%q is no runner that can be had: want activebackup, roundrobin, broadcast, loadbalance or lacp", f[2])
	}
	m.end(f, 3)
	if err := m.err(); err != nil {
		return network.Bond{}, "", err
	}
	return b, fmt.Sprintf("the team %s is set up as a bond with mode=%s; use bond= to choose more", b.Name, b.Options[0].Value), nil
}
