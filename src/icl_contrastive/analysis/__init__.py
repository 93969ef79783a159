"""What pretrained layers are asked: are they estimated well, do they learn in context?"""
