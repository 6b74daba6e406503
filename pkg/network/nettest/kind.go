package nettest

import "os"

// CompleteVariable is an environment variable. Where it is set the kernel is known to have every kind of link, so a lack is a failure.
const CompleteVariable = "LIVEBOOT_NETTEST_COMPLETE"

// Needs leaves the test out where the kernel has no links of this kind of ip-link(8), "bond" or "vlan" for example. Kernels of
// developers and of test farms differ; integration/ runs all namespace tests in a virtual machine with a distribution's kernel, where
// nothing is left out.
func (n *Net) Needs(kind string) {
	n.t.Helper()
	commands := "link add nettest-probe type " + kind + "\n"
	if kind == "vlan" {
		commands = "link add nettest-probe type veth peer name nettest-peer\nlink add link nettest-probe name nettest-vlan type vlan id 1\n"
	}
	_, err := batch(n.t.Context(), commands)
	switch {
	case err == nil:
		n.IP("link delete nettest-probe")
	case os.Getenv(CompleteVariable) != "":
		n.t.Fatalf("the kernel has no links of kind %s: %v", kind, err)
	default:
		n.t.Skipf("needs a kernel with links of kind %s, which this one has not; TestNamespaces in integration/ has one", kind)
	}
}
