# Prints the files of a kernel's source tree that a build for x86 reads, in the order in which it needs them from the disk: the sources
# folder by folder, and behind each the headers that it includes, directly or not, unless an earlier one has included them: those are in
# the kernel's memory by then. Every #include is followed, whatever #if it is in; what a build generates is not there, and left out.
#
# usage: reads.pl <folder of the tree>
use strict;
use warnings;

my $tree = shift or die "usage: reads.pl <folder of the tree>\n";
chdir $tree or die "$tree: $!\n";
my @where = map { "$_/" } qw(arch/x86/include arch/x86/include/uapi include include/uapi);
my %read;

# need prints a file and what it includes. The list of what is still to be read is a stack, so that the order is that of a preprocessor.
sub need {
	my @todo = @_;
	while (defined(my $file = pop @todo)) {
		next if $read{$file}++;
		print "$tree/$file\n";
		open my $f, '<', $file or die "$file: $!\n";
		my ($folder, @found) = $file =~ m{^(.*/)};
		while (my $line = <$f>) {
			$line =~ /^\s*#\s*include\s*(["<])([^">]+)[">]/ or next;
			for my $place ($1 eq '"' ? $folder : (), @where) {
				my $path = clean("$place$2");
				if (-f $path) { push @found, $path; last }
			}
		}
		push @todo, reverse @found;
	}
}

# clean takes "x/../" and "./" out of a path, so that a file has one name.
sub clean {
	my ($path) = @_;
	1 while $path =~ s{(^|/)\./}{$1} or $path =~ s{(^|/)(?!\.\./)[^/]+/\.\./}{$1};
	return $path;
}

sub walk {
	my ($folder) = @_;
	opendir my $d, $folder or die "$folder: $!\n";
	my @names = sort grep { !/^\.\.?$/ } readdir $d;
	need($_) for grep { /\.[cS]$/ && -f } map { "$folder/$_" } @names;
	walk($_) for grep { -d && !-l } map { "$folder/$_" } @names;
}

walk($_) for qw(arch/x86 block certs crypto drivers fs init io_uring ipc kernel lib mm net security virt);
