"""The laboratory: real mail servers, a scripted world around them, and the bounces that they write.

``cd tests && python -m lab`` (as root, on Debian) makes ``fixtures/generated`` anew.  Each server runs in
namespaces of its own: its network has nothing but loopback, where the world listens on port 25,
and its /etc is a copy that is thrown away.  What a fixture expects comes from the scenario's
script - who was refused, with which reply, at which command - and never from what bounceclass said.
"""
