"""What a set is worth: accuracy of networks, ranking of wrong labels, intervals."""
