# Turns an allow-list into tinyproxy's filter: anchored extended regular expressions, one a line. The argument is a list's name;
# `folder` holds the lists as NAME.txt, `suffixes` is the public suffix list. Exits 1, with FILE:LINE: and the line for each
# that is wrong. Runs in mawk, which knows no {n,m}.

BEGIN {
    name = ARGV[1]
    if (name !~ /^[a-z0-9][a-z0-9-]*$/) {
        complain("'" name "' is not the name of a list: expected small letters, digits and dashes, as in models-and-nodes")
    } else {
        read_list(name)
        if (!failed && name == "none" && hosts) complain(folder "/none.txt: the list none has hosts: use another name")
        if (!failed && name != "none" && !hosts) complain(folder "/" name ".txt: no host in it: to allow nothing, use the list none")
    }
    if (failed) exit 1
    for (i = 1; i <= hosts; i++) print pattern[i]
    exit 0
}

function complain(words) {
    print "egress: " words > "/dev/stderr"
    failed = 1
}

# Locals stand behind the wide gap, as is awk's custom.
function read_list(list,    file, line, number, got, shown, host, reason) {
    if (list in seen_list) return
    seen_list[list] = 1
    file = folder "/" list ".txt"
    while ((got = (getline line < file)) > 0) {
        number++
        shown = line
        gsub(/[^ -~]/, "?", shown)
        sub(/\r$/, "", line)
        if (line ~ /^[ \t]*#/) continue
        sub(/[ \t]#.*$/, "", line)
        gsub(/^[ \t]+|[ \t]+$/, "", line)
        if (line == "") continue
        host = tolower(line)
        if (host ~ /^@/) reason = include_list(substr(host, 2))
        else reason = add(host)
        if (reason != "") complain(file ":" number ": " shown ": " reason)
    }
    if (got < 0) {
        complain("there is no readable list " file)
        return
    }
    close(file)
}

function include_list(list,    file, probe, got) {
    if (list !~ /^[a-z0-9][a-z0-9-]*$/) return "expected the name of a list after @"
    file = folder "/" list ".txt"
    if (!(list in seen_list)) {
        got = (getline probe < file)
        close(file)
        if (got < 0) return "there is no list " file
    }
    count = hosts
    read_list(list)
    if (hosts == count && list == "package-index" && !failed) return "the package index is not known: build the image with PACKAGE_INDEX"
    return ""
}

function add(host,    wild, rest, reason) {
    rest = host
    if (rest ~ /^\*\./) {
        wild = 1
        rest = substr(rest, 3)
    }
    reason = fault(rest)
    if (reason == "" && wild && is_public_suffix(rest)) reason = "anyone can register a name under " rest
    if (reason != "") return reason
    if (host in seen_host) return ""
    seen_host[host] = 1
    gsub(/\./, "\\.", rest)
    pattern[++hosts] = wild ? "^([a-z0-9-]+\\.)+" rest "$" : "^" rest "$"
    return ""
}

# What is wrong with a host name, or nothing.
function fault(host,    labels, label, count, i) {
    if (host ~ /[ \t]/) return "expected one host a line, and a blank before #"
    if (host ~ /\//) return "expected only a host, without scheme or path"
    if (host ~ /:/) return "expected a host name, without a port; addresses are never allowed"
    if (host ~ /\*/) return "a star is allowed only at the beginning, as in *.example.org"
    if (host ~ /[^ -~]/) return "not a character of a host name (write an international name as xn--...)"
    if (host ~ /[^a-z0-9.-]/) return "not a character of a host name (regular expressions are not supported)"
    if (host ~ /^\./) return "for the names under a domain write *" host
    if (host ~ /\.$/) return "remove the dot at the end"
    if (host ~ /\.\./) return "two dots in a row"
    if (length(host) > 253) return "longer than 253 characters"
    count = split(host, labels, ".")
    # What URL parsers take for an address: a last label of digits, or of 0x and hexadecimal digits.
    if (labels[count] ~ /^[0-9]+$/ || labels[count] ~ /^0x[0-9a-f]*$/) return "addresses are never allowed, only names"
    if (count < 2) return "expected a name with a dot in it"
    for (i = 1; i <= count; i++) {
        label = labels[i]
        if (length(label) > 63) return "a label longer than 63 characters"
        if (label ~ /^-|-$/) return "a label begins or ends with a dash"
    }
    # RFC 6761, RFC 8375: never a name of the public internet. The health check relies on forbidden.invalid.
    if (labels[count] ~ /^(localhost|local|internal|invalid|arpa)$/) return "names under " labels[count] " do not exist on the internet"
    return ""
}

function is_public_suffix(host,    line, parent) {
    if (!suffixes_read) {
        while ((getline line < suffixes) > 0) {
            suffixes_read++
            if (line != "" && line !~ /^\/\//) suffix[line] = 1
        }
        close(suffixes)
        if (!suffixes_read) {
            complain("cannot read " suffixes ", which is needed to check names with a star")
            return 1
        }
    }
    if (("!" host) in suffix) return 0
    parent = host
    sub(/^[^.]*\./, "", parent)
    return (host in suffix) || (("*." parent) in suffix)
}
