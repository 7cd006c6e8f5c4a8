#!/bin/sh
# Puts a Kafka broker of its own on this machine, for the tests and for `make kafka`: Java and Maven from the
# distribution's packages when they are missing and we may, the broker's jars into a cache outside the tree.
# Prints the folder of the jars. Says one line and fails when that cannot be done.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n '/<artifactId>kafka_2.13</{n;s/.*<version>\(.*\)<\/version>.*/\1/p;}' "$here/pom.xml")
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/backstop
jars=$cache/kafka-$version-$(cksum < "$here/pom.xml" | cut -d ' ' -f 1)

give_up() {
    echo "no Kafka broker: $1" >&2
    exit 1
}

packages() {
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || give_up "$* is missing; install it, or be root on Debian"
    echo "installing $*" >&2
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
        > /dev/null || give_up "apt-get could not install $*"
}

command -v java > /dev/null || packages openjdk-17-jre-headless
java=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
[ "${java:-0}" -ge 17 ] || give_up "Java 17 or later is needed, java is ${java:-unknown}"

if [ ! -d "$jars" ]; then
    command -v mvn > /dev/null || packages maven
    echo "fetching Kafka $version" >&2
    mkdir -p "$cache"
    fresh=$(mktemp -d "$cache/fetching.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    chmod 755 "$fresh"
    mvn --quiet --batch-mode --file "$here/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$fresh" > "$fresh/maven.log" 2>&1 || {
        cat "$fresh/maven.log" >&2
        give_up "Maven could not fetch Kafka $version"
    }
    rm "$fresh/maven.log"
    # Whoever comes first wins; another who fetched at the same time throws his away.
    mv -T "$fresh" "$jars" 2> /dev/null || [ -d "$jars" ]
fi
echo "$jars"
